"""Residual scores: by hand, against scipy and scikit-image, and what is refused."""

from typing import get_args

import numpy as np
import pytest
import torch
from scipy.stats import rankdata

from uad_data.errors import InputError
from uad_models.registry import create
from uad_models.scores import RESIDUALS, Residual, check_residual, residual_map
from uad_models.scores.structural import WINDOWS
from uad_models.ssim import ssim_map


def images(*size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Two scans with two channels and a reconstruction that goes on outside the brain."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand((2, 2, *size), generator=generator) + 0.1
    x[..., :3] = 0
    return x, x + 0.2 * torch.randn(x.shape, generator=generator)


@pytest.mark.parametrize(("residual", "expected"), [("signed", 0.5), ("l1", 1.5), ("l2", 2.5)])
def test_the_residual_is_averaged_over_channels_inside_the_brain(residual, expected):
    x = torch.zeros(1, 2, 1, 2)
    x[0, :, 0, 0] = torch.tensor([2.0, 3.0])
    reconstruction = torch.ones(1, 2, 1, 2)
    reconstruction[0, 1, 0, 0] = 5.0
    assert residual_map(x, reconstruction, residual).flatten().tolist() == [expected, 0.0]


def test_the_residual_is_counted_in_expected_errors_where_they_are_given():
    x, reconstruction = torch.full((1, 1, 1, 2), 3.0), torch.ones(1, 1, 1, 2)
    scale = torch.tensor([[[[0.5, 2.0]]]])
    assert residual_map(x, reconstruction, "signed", scale=scale).flatten().tolist() == [4.0, 1.0]
    assert residual_map(x, reconstruction, "l2", scale=scale).flatten().tolist() == [16.0, 1.0]


def test_every_name_of_the_type_is_in_the_registry():
    assert get_args(Residual) == (*RESIDUALS, "lpips")


@pytest.mark.parametrize("residual", RESIDUALS)
@pytest.mark.parametrize("size", [(20, 18), (8, 9, 10)], ids=["2d", "3d"])
def test_every_residual_is_0_outside_the_brain_and_where_nothing_differs(residual, size):
    x, reconstruction = images(*size)
    found = residual_map(x, reconstruction, residual)
    assert found.shape == (2, 1, *size)
    assert found.dtype == torch.float32
    assert found.min() >= 0
    assert found.max() > 0
    assert found[..., :3].abs().max() == 0
    torch.testing.assert_close(residual_map(x, x.clone(), residual), torch.zeros(2, 1, *size), atol=1e-4, rtol=0)
    assert residual_map(torch.zeros_like(x), reconstruction, residual).abs().max() == 0


@pytest.mark.parametrize("residual", RESIDUALS)
def test_what_the_decoder_says_outside_the_brain_does_not_count(residual):
    x, reconstruction = images(20, 18)
    other = torch.where(x != 0, reconstruction, 7.0)
    assert torch.equal(residual_map(x, reconstruction, residual), residual_map(x, other, residual))


@pytest.mark.parametrize("residual", RESIDUALS)
def test_an_image_has_the_same_residual_alone_and_in_a_batch(residual):
    x, reconstruction = images(20, 18)
    alone = torch.cat([residual_map(x[[i]], reconstruction[[i]], residual) for i in range(2)])
    torch.testing.assert_close(alone, residual_map(x, reconstruction, residual), atol=1e-5, rtol=1e-5)


def test_structure_is_compared_in_one_window_or_the_mean_of_several():
    x, reconstruction = images(20, 18)
    inside = reconstruction * (x != 0)
    one = (1 - ssim_map(x, inside)).clamp(min=0).mean(dim=1, keepdim=True) * (x[:, :1] != 0)
    torch.testing.assert_close(residual_map(x, reconstruction, "ssim"), one)
    total = torch.zeros_like(x)
    for window in WINDOWS:
        total = total + 1 - ssim_map(x, inside, window=window)
    several = (total / len(WINDOWS)).mean(dim=1, keepdim=True) * (x[:, :1] != 0)
    torch.testing.assert_close(residual_map(x, reconstruction, "ms_ssim"), several, atol=1e-5, rtol=1e-4)


def test_equalised_is_the_distance_in_rank_among_the_brain_s_voxels():
    x, reconstruction = images(20, 18)
    found = residual_map(x[:, :1], reconstruction[:, :1], "equalised")
    for image in range(2):
        inside = (x[image, 0] != 0).numpy()
        known, expected = x[image, 0].numpy()[inside], reconstruction[image, 0].numpy()[inside]
        own = rankdata(known, method="max") / known.size
        other = np.array([(known <= value).mean() for value in expected])
        np.testing.assert_allclose(found[image, 0].numpy()[inside], np.abs(own - other), atol=1e-6)


def test_equalised_does_not_depend_on_the_scanner_s_grey_values():
    x, reconstruction = images(20, 18)
    brighter = residual_map(3 * x.pow(2), 3 * reconstruction.clamp(min=0).pow(2), "equalised")
    torch.testing.assert_close(brighter, residual_map(x, reconstruction.clamp(min=0), "equalised"))


@pytest.mark.parametrize("residual", ["ssim", "ms_ssim", "equalised"])
def test_structure_and_rank_are_not_divided_by_an_expected_error(residual):
    x, reconstruction = images(20, 18)
    with pytest.raises(InputError, match="predict_scale"):
        residual_map(x, reconstruction, residual, scale=torch.ones_like(x))
    with pytest.raises(InputError, match="predict_scale"):
        check_residual(residual, scaled=True, network="")
    check_residual(residual, scaled=False, network="")


@pytest.mark.parametrize("residual", RESIDUALS)
def test_a_method_takes_its_residual_by_name(residual):
    torch.manual_seed(0)
    method = create("ae", size=(16, 16), channels=(8, 8), predict_scale=False, residual=residual).eval()
    x = torch.rand(1, 1, 16, 16) + 0.1
    with torch.no_grad():
        torch.testing.assert_close(method.anomaly_map(x), residual_map(x, method.reconstruct(x), residual))
