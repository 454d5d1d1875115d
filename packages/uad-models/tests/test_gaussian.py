"""The Gaussian mean against scipy inside the image and against its definition at the border."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from uad_models.gaussian import gaussian_mean


@pytest.mark.parametrize("size", [(24, 20), (16, 18, 20)], ids=["2d", "3d"])
def test_the_inside_is_that_of_scipy(size):
    images = torch.rand((2, 3, *size), generator=torch.Generator().manual_seed(0))
    ours = gaussian_mean(images, dims=len(size), sigma=1.5, radius=5)
    theirs = gaussian_filter(images.numpy(), 1.5, radius=5, axes=tuple(range(2, 2 + len(size))))
    inside = (..., *(slice(5, -5) for _ in size))
    np.testing.assert_allclose(ours[inside].numpy(), theirs[inside], atol=1e-6)


def test_at_the_border_the_weights_sum_to_1_again():
    line = torch.tensor([[[[0.0, 0.0, 1.0]]]])
    side, centre = np.exp(-0.5), 1.0
    expected = [0.0, side / (2 * side + centre), centre / (side + centre)]
    found = gaussian_mean(line, dims=2, sigma=1.0, radius=1).flatten().tolist()
    np.testing.assert_allclose(found, expected, atol=1e-6)
    constant = torch.full((1, 1, 4, 5), 2.0)
    torch.testing.assert_close(gaussian_mean(constant, dims=2, sigma=3.0), constant)


def test_what_was_made_in_inference_mode_serves_training():
    images = torch.rand(1, 1, 7, 9)
    with torch.inference_mode():
        gaussian_mean(images, dims=2, sigma=0.7)
    images.requires_grad_()
    gaussian_mean(images, dims=2, sigma=0.7).sum().backward()
    assert images.grad.abs().min() > 0
