"""The network of Table 2, right: its parameters and the sizes that were derived for it."""

import pytest
import torch

from uad_data.errors import InputError
from uad_models.methods.cvae import CVAEConfig
from uad_models.methods.dcvae import DilatedCVAE
from uad_models.registry import create

PAPER = DilatedCVAE.presets["paper"].config


def test_the_network_of_the_paper_is_table_2():
    down = 36 * 1 * 8 + 25 * 8 * 16 + 36 * 16 * 16 + 25 * 16 * 16
    norms = 2 * (8 + 16 + 16 + 16) + 2 * (16 + 16 + 16 + 8)
    heads, first = 2 * (9 * 16 * 16 + 16), 9 * 16 * 16
    assert 2 * down + norms + heads + first + 1 == 45377
    method = create("dcvae", **{**PAPER, "size": (240, 240)})
    assert sum(each.numel() for each in method.parameters()) == 45377


@pytest.mark.parametrize(("side", "along"), [(240, (239, 120, 120, 40)), (128, (127, 64, 64, 22))])
def test_the_sizes_on_the_way_to_the_code_come_back_on_the_way_out(side, along):
    network = create("dcvae", **{**PAPER, "size": (side, side)}).network.eval()
    sizes = []
    for layer in (*network.encoder, *network.decoder):
        layer.register_forward_hook(lambda _, __, out: sizes.append(out.shape[-1]))
    with torch.no_grad():
        mean, _ = network.encode(torch.rand(1, 1, side, side))
        network.decode(mean)
    assert mean.shape == (1, 16, along[-1], along[-1])
    assert tuple(sizes) == (*along, *along[-2::-1], side)


def test_sides_must_be_even_and_may_be_no_multiple_of_3():
    assert CVAEConfig.from_dict({**PAPER, "size": (64, 64)}).size_multiple == 2
    with pytest.raises(InputError, match="multiple of 2"):
        CVAEConfig.from_dict({**PAPER, "size": (63, 64)})
