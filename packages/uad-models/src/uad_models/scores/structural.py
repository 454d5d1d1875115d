"""SSIM scores: structure that differs is anomalous, be it bright or not.

Papers
------
Bergmann, Löwe, Fauser, Sattlegger, Steger, "Improving unsupervised defect segmentation by applying structural
similarity to autoencoders", VISAPP 2019 (https://arxiv.org/abs/1807.02011): ``1 − SSIM`` as the residual.

Behrendt, Bhattacharya, Maack, Krüger, Opfer, Mieling, Schlaefer, "Diffusion models with ensembled structure-based
anomaly scoring for unsupervised anomaly detection", ISBI 2024 (https://arxiv.org/abs/2403.14262): no one window suits
every pathology, so the maps of several windows are combined.

Deviations
----------
Behrendt's adaptive weighting is not had: the windows of `WINDOWS`, chosen here, weigh the same.
"""

import torch
from torch import Tensor

from uad_models.ssim import ssim_map

WINDOWS = (3, 5, 7, 9, 11, 13, 15)


def ssim(x: Tensor, reconstruction: Tensor) -> Tensor:
    """Return ``1 − SSIM`` with the usual window of 11 voxels.

    Parameters
    ----------
    x, reconstruction
        ``(b, c, *s)`` float32, about 0 to 1.

    Returns
    -------
    Tensor
        ``(b, c, *s)`` in [0, 2], 0 where the two agree.
    """
    return (1 - ssim_map(x, reconstruction)).clamp(min=0)


def ms_ssim(x: Tensor, reconstruction: Tensor) -> Tensor:
    """Return the mean of ``1 − SSIM`` over windows of 3 to 15 voxels.

    Parameters
    ----------
    x, reconstruction
        ``(b, c, *s)`` float32, about 0 to 1.

    Returns
    -------
    Tensor
        ``(b, c, *s)`` in [0, 2], 0 where the two agree.
    """
    maps = torch.stack([1 - ssim_map(x, reconstruction, window=window) for window in WINDOWS])
    return maps.mean(dim=0).clamp(min=0)
