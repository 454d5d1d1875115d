"""SSIM against scikit-image, against a slow reference at the border, and its gradient."""

import itertools

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from uad_data.errors import InputError
from uad_models.ssim import ssim_map


def pair(*shape: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Two related images in [0, 1]."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(shape, generator=generator)
    return x, (0.7 * x + 0.3 * torch.rand(shape, generator=generator)).clamp(0, 1)


@pytest.mark.parametrize("size", [(24, 30), (16, 18, 20)], ids=["2d", "3d"])
@pytest.mark.parametrize("data_range", [1.0, 2.5])
def test_the_inside_of_the_map_is_that_of_scikit_image(size, data_range):
    x, y = pair(2, 2, *size)
    ours = ssim_map(x, y, data_range=data_range)
    assert ours.shape == x.shape
    inside = tuple(slice(5, -5) for _ in size)
    for image, channel in itertools.product(range(2), range(2)):
        _, theirs = structural_similarity(
            x[image, channel].double().numpy(),
            y[image, channel].double().numpy(),
            data_range=data_range,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            full=True,
        )
        np.testing.assert_allclose(ours[image, channel][inside].numpy(), theirs[inside], atol=1e-4)


def slow_ssim(x: np.ndarray, y: np.ndarray, window: int) -> np.ndarray:
    """Equation 13 with a loop over voxels; the window is cut at the border."""
    result, sigma, half = np.zeros(x.shape), 1.5 * window / 11, window // 2
    for centre in np.ndindex(*x.shape):
        near = [n for n in np.ndindex(*x.shape) if max(abs(a - b) for a, b in zip(n, centre, strict=True)) <= half]
        weight = np.array(
            [np.exp(-sum((a - b) ** 2 for a, b in zip(n, centre, strict=True)) / (2 * sigma**2)) for n in near]
        )
        weight /= weight.sum()
        u, v = np.array([x[n] for n in near]), np.array([y[n] for n in near])
        mu, mv = (weight * u).sum(), (weight * v).sum()
        vu, vv, cov = (
            (weight * (u - mu) ** 2).sum(),
            (weight * (v - mv) ** 2).sum(),
            (weight * (u - mu) * (v - mv)).sum(),
        )
        result[centre] = (2 * mu * mv + 1e-4) * (2 * cov + 9e-4) / ((mu**2 + mv**2 + 1e-4) * (vu + vv + 9e-4))
    return result


@pytest.mark.parametrize("window", [3, 5, 11])
@pytest.mark.parametrize("size", [(6, 7), (4, 3, 5)], ids=["2d", "3d"])
def test_the_border_and_images_smaller_than_the_window_follow_the_equation(size, window):
    x, y = pair(1, 1, *size)
    expected = slow_ssim(x[0, 0].double().numpy(), y[0, 0].double().numpy(), window)
    np.testing.assert_allclose(ssim_map(x, y, window=window)[0, 0].numpy(), expected, atol=1e-4)


def test_an_image_is_like_itself_and_unlike_its_inverse():
    x, _ = pair(1, 1, 16, 16)
    torch.testing.assert_close(ssim_map(x, x), torch.ones_like(x))
    assert ssim_map(x, 1 - x).mean() < 0
    assert torch.equal(ssim_map(torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 8)), torch.ones(1, 1, 8, 8))


def test_following_the_gradient_makes_the_images_alike():
    x, y = pair(1, 1, 16, 16)
    y.requires_grad_()
    optimiser = torch.optim.Adam([y], 0.02)
    before = ssim_map(x, y).mean().item()
    for _ in range(50):
        optimiser.zero_grad()
        (1 - ssim_map(x, y)).mean().backward()
        optimiser.step()
    assert ssim_map(x, y).mean() > before + 0.5 * (1 - before)


def test_half_precision_is_computed_in_single():
    x, y = pair(1, 1, 16, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        within = ssim_map(x, y)
    assert torch.equal(within, ssim_map(x, y))
    assert ssim_map(x.half(), y.half()).dtype == torch.float32


@pytest.mark.parametrize(
    ("shapes", "options", "message"),
    [
        (((1, 1, 8, 8), (1, 1, 8, 9)), {}, "expected two"),
        (((8, 8), (8, 8)), {}, "expected two"),
        (((1, 1, 8, 8), (1, 1, 8, 8)), {"window": 4}, "odd"),
        (((1, 1, 8, 8), (1, 1, 8, 8)), {"window": 1}, "odd"),
        (((1, 1, 8, 8), (1, 1, 8, 8)), {"data_range": 0.0}, "positive"),
    ],
)
def test_input_without_meaning_is_refused(shapes, options, message):
    with pytest.raises(InputError, match=message):
        ssim_map(torch.zeros(shapes[0]), torch.zeros(shapes[1]), **options)
