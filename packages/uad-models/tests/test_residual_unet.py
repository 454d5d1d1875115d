"""The residual U-Net: its outputs, what folding does, how far it sees."""

import pytest
import torch

from uad_models.networks.residual_unet import ResidualBlock, ResidualUNet


@pytest.mark.parametrize("fold", [1, 2])
@pytest.mark.parametrize("size", [(32, 48), (16, 16, 32)])
def test_outputs_halve_and_only_the_full_one_is_left_in_eval(size, fold) -> None:
    network = ResidualUNet(
        dims=len(size), in_channels=2, out_channels=3, channels=(8, 8, 16), blocks=2, fold=fold, coarse=2
    )
    x = torch.randn(1, 2, *size)
    full, *coarse = network.train()(x)
    assert full.shape == (1, 3, *size)
    for depth, each in enumerate(coarse, start=1):
        assert each.shape == (1, 1, *(side // fold // 2**depth for side in size))
    assert len(coarse) == 2
    assert [each.shape for each in network.eval()(x)] == [full.shape]


def test_a_block_whose_body_gives_nothing_passes_its_input_on() -> None:
    block = ResidualBlock(2, 8, 8, halve=True)
    torch.nn.init.zeros_(block.body[-1].weight)
    x = torch.rand(1, 8, 4, 4)
    expected = torch.nn.functional.silu(torch.nn.functional.avg_pool2d(x, 2))
    torch.testing.assert_close(block(x), expected)
