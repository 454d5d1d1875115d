"""Gaussian-weighted means of images along their spatial axes, the window cut at the border."""

import functools

import torch
from torch import Tensor


def gaussian_mean(images: Tensor, *, dims: int, sigma: float, radius: int | None = None) -> Tensor:
    """Return the Gaussian-weighted mean around each voxel.

    At the border the window is cut to the image and its weights are made to sum to 1 again. The window slides along
    one axis after the other, each as a product with a small banded matrix.

    Parameters
    ----------
    images
        ``(..., *s)`` float32.
    dims
        How many of the last axes are space.
    sigma
        Standard deviation in voxels, positive.
    radius
        How far the window reaches from its centre, in voxels; three standard deviations where None.

    Returns
    -------
    Tensor
        Shape of ``images``.
    """
    reach = round(3 * sigma) if radius is None else radius
    with torch.autocast(images.device.type, enabled=False):
        for axis in range(images.dim() - dims, images.dim()):
            weights = _window_matrix(images.shape[axis], sigma, reach).to(images.device)
            images = (images.movedim(axis, -1) @ weights.T).movedim(-1, axis)
    return images


@functools.lru_cache(maxsize=64)
def _window_matrix(side: int, sigma: float, radius: int) -> Tensor:
    """Row ``i``: the weights of a line's voxels in the window around voxel ``i``; ``(side, side)``, rows sum to 1."""
    # A tensor made in inference mode could not be used for training later.
    with torch.inference_mode(False):
        place = torch.arange(side, dtype=torch.float64)
        distance = (place[:, None] - place[None]).abs()
        weights = torch.exp(-0.5 * (distance / sigma).square()) * (distance <= radius)
        return (weights / weights.sum(dim=1, keepdim=True)).float()
