import pytest
import torch

from uad_data.corruptions import coarse_noise
from uad_data.errors import InputError
from uad_models import create, method_class
from uad_models.networks.unet import StandardisedConv, UNet


def test_loss_is_the_squared_error_of_what_was_clean() -> None:
    torch.manual_seed(0)
    method = create("denoising_unet", size=(16, 16), channels=(8, 8), noise_resolution=4)
    brain = torch.rand(2, 1, 16, 16) > 0.3
    image = torch.rand(2, 1, 16, 16) * brain
    found = method.loss({"image": image, "brain": brain}, generator=torch.Generator().manual_seed(3))["loss"]
    noisy = coarse_noise(image, brain, sd=0.2, resolution=4, generator=torch.Generator().manual_seed(3))
    expected = (method.network(noisy) - image)[brain].square().mean()
    torch.testing.assert_close(found, expected)


def test_kernels_are_standardised() -> None:
    """A shift and a scaling of the weights change nothing."""
    torch.manual_seed(0)
    layer, x = StandardisedConv(2, 4, 8), torch.rand(1, 4, 9, 9)
    before = layer(x)
    with torch.no_grad():
        layer.weight.mul_(3).add_(0.5)
    torch.testing.assert_close(layer(x), before, rtol=1e-3, atol=1e-4)


def test_skips_carry_detail_and_shapes_fit() -> None:
    for dims, size in ((2, (16, 24)), (3, (8, 16, 8))):
        network = UNet(dims=dims, in_channels=2, out_channels=3, channels=(8, 16, 24))
        assert network(torch.rand(1, 2, *size)).shape == (1, 3, *size)


def test_paper_preset_and_refusals() -> None:
    cls = method_class("denoising_unet")
    paper = cls.Config.from_dict(cls.presets["paper"].config)
    assert (paper.noise_sd, paper.noise_resolution, len(paper.channels), paper.size) == (0.2, 16, 4, (128, 128))
    for wrong in ({"channels": (12,)}, {"noise_sd": 0.0}, {"fold": 0}, {"size": (20, 20)}):
        with pytest.raises(InputError):
            create("denoising_unet", **wrong)
