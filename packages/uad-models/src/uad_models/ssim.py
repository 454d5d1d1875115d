"""Structural similarity of two images, voxel by voxel; differentiable, for slices and volumes.

Paper
-----
Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to structural similarity", IEEE
Transactions on Image Processing 2004 (https://doi.org/10.1109/TIP.2003.819861): equation 13, with its constants
``K₁ = 0.01``, ``K₂ = 0.03`` and its Gaussian window of 11 and standard deviation 1.5.

Choices
-------
- Other windows keep the paper's shape: the standard deviation is ``1.5 · window / 11``.
- At the border the window is cut to the image and its weights are made to sum to 1 again, so that the map has the
  image's size and images smaller than the window are taken.
"""

import torch
from torch import Tensor

from uad_data.errors import InputError
from uad_models.gaussian import gaussian_mean

K1, K2 = 0.01, 0.03
PAPER_WINDOW, PAPER_SIGMA = 11, 1.5


def ssim_map(x: Tensor, y: Tensor, *, window: int = 11, data_range: float = 1.0) -> Tensor:
    """Return the structural similarity of two images at each voxel (Wang et al., equation 13).

    Parameters
    ----------
    x, y
        ``(b, c, *s)``, of one shape; ``*s`` is ``(h, w)`` or ``(d, h, w)``.
    window
        Width of the Gaussian window in voxels, odd and at least 3.
    data_range
        The range of valid values, positive; prepared scans reach about 1.

    Returns
    -------
    Tensor
        ``(b, c, *s)`` float32 in [-1, 1] but for rounding; 1 where the two agree. Gradient passes to both.

    Raises
    ------
    InputError
        Shapes that differ, an even or too small window, a range that is not positive.
    """
    if x.shape != y.shape or x.dim() not in (4, 5):
        raise InputError(f"ssim_map: expected two (b, c, h, w) or (b, c, d, h, w), got {(*x.shape,)} and {(*y.shape,)}")
    if window < 3 or window % 2 == 0:
        raise InputError(f"window: expected an odd number from 3 up, got {window}")
    if data_range <= 0:
        raise InputError(f"data_range: expected a positive number, got {data_range}")
    with torch.autocast(x.device.type, enabled=False):
        x, y = x.float(), y.float()
        moments = torch.stack([x, y, x * x, y * y, x * y])
        sigma = PAPER_SIGMA * window / PAPER_WINDOW
        smoothed = gaussian_mean(moments, dims=x.dim() - 2, sigma=sigma, radius=window // 2)
        mean_x, mean_y, square_x, square_y, product = smoothed
        variance_x, variance_y = square_x - mean_x.square(), square_y - mean_y.square()
        covariance = product - mean_x * mean_y
        c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
        luminance = (2 * mean_x * mean_y + c1) / (mean_x.square() + mean_y.square() + c1)
        return luminance * (2 * covariance + c2) / (variance_x + variance_y + c2)
