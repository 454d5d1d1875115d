"""Mahalanobis score: how far a voxel lies from repeated reconstructions, in units of how much these vary.

Source: P. C. Mahalanobis, "On the generalised distance in statistics", 1936; over the channels of a voxel, with mean
and covariance taken from reconstructions of several codes of the same image.

Choice: `FLOOR` is added to the variances, because codes that all decode alike would make any difference infinite.
"""

import torch
from einops import rearrange
from torch import Tensor

FLOOR = 0.05  # of the 99th percentile: about the noise of a scan


def mahalanobis(x: Tensor, reconstructions: Tensor) -> Tensor:
    """Return the Mahalanobis distance of each voxel to the reconstructions of it.

    Parameters
    ----------
    x
        ``(b, c, *s)``.
    reconstructions
        ``(k, b, c, *s)``, at least two per image.

    Returns
    -------
    Tensor
        ``(b, 1, *s)`` float32, not negative.
    """
    mean = reconstructions.float().mean(dim=0)
    apart = rearrange(reconstructions.float() - mean, "k b c ... -> b ... c k")
    covariance = apart @ apart.transpose(-1, -2) / (apart.shape[-1] - 1)
    covariance = covariance + FLOOR**2 * torch.eye(x.shape[1], device=x.device)
    difference = rearrange(x.float() - mean, "b c ... -> b ... c 1")
    squared = difference.transpose(-1, -2) @ torch.linalg.solve(covariance, difference)
    return rearrange(squared.clamp(min=0).sqrt(), "b ... 1 1 -> b 1 ...")
