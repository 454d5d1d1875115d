"""The conditioned U-Net: a plain one whose features are scaled and shifted by the step."""

import math

import pytest
import torch

from uad_models.networks.conditioned_unet import ConditionedUNet, step_waves
from uad_models.networks.unet import UNet

SHAPE = {"in_channels": 2, "out_channels": 3, "channels": (8, 16)}


def test_a_step_is_described_by_sines_and_cosines_of_falling_frequency() -> None:
    found = step_waves(torch.tensor([0, 7]), 6)
    phases = [7.0, 7 / 100, 7 / 10000]
    assert found[0].tolist() == [0, 0, 0, 1, 1, 1]
    assert found[1].tolist() == pytest.approx([f(p) for f in (math.sin, math.cos) for p in phases], rel=1e-4)


@pytest.mark.parametrize("size", [(8, 8), (4, 4, 4)], ids=["2d", "3d"])
def test_without_scale_and_shift_it_is_the_plain_network(size) -> None:
    torch.manual_seed(0)
    network, plain = ConditionedUNet(dims=len(size), **SHAPE), UNet(dims=len(size), **SHAPE)
    missing = network.load_state_dict(plain.state_dict(), strict=False)
    assert not missing.unexpected_keys
    x, steps = torch.rand(2, 2, *size), torch.tensor([3, 80])
    with torch.no_grad():
        assert not torch.allclose(network(x, steps), plain(x), atol=1e-3)
        for film in (*network.film_down, *network.film_up):
            film.weight.zero_()
            film.bias.zero_()
        torch.testing.assert_close(network(x, steps), plain(x))


def test_each_image_is_restored_at_its_own_step() -> None:
    torch.manual_seed(0)
    network = ConditionedUNet(dims=2, **SHAPE)
    x = torch.rand(1, 2, 8, 8).expand(2, -1, -1, -1)
    with torch.no_grad():
        both = network(x, torch.tensor([0, 100]))
        assert not torch.allclose(both[0], both[1], atol=1e-3)
        torch.testing.assert_close(network(x[:1], torch.tensor([100])), both[1:])
