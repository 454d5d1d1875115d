"""Histogram-equalised residual: how many of the brain's voxels lie between a voxel and what was expected there.

Paper: Meissen, Kaissis, Rueckert, "Challenging current semi-supervised anomaly segmentation methods for brain MRI",
BrainLes 2021 (https://arxiv.org/abs/2109.06023), equalise the histogram of the image and take its brightness.

Deviation: here image and reconstruction both pass through the image's own curve, and their distance is the score, so
that a change counts by its rank, not by the scanner's grey values.
"""

import torch
from einops import rearrange
from torch import Tensor

from uad_models.method import brain_of


def equalised(x: Tensor, reconstruction: Tensor) -> Tensor:
    """Return ``|F(x) − F(x̂)|``, F being the distribution function of the image's brain voxels.

    Parameters
    ----------
    x, reconstruction
        ``(b, c, *s)`` float32; ``x`` is 0 outside the brain.

    Returns
    -------
    Tensor
        ``(b, c, *s)`` in [0, 1], 0 outside the brain.
    """
    return (equalise(x) - equalise(reconstruction, like=x)).abs()


def equalise(x: Tensor, *, like: Tensor | None = None) -> Tensor:
    """Equalise the histogram of each image and channel inside the brain.

    Parameters
    ----------
    x
        ``(b, c, *s)``.
    like
        ``(b, c, *s)``, 0 outside the brain: the images whose histograms give the curves; ``x`` itself where None.

    Returns
    -------
    Tensor
        ``(b, c, *s)`` float32: the share of the brain's voxels that are no brighter, in [0, 1]; 0 outside the brain.
    """
    source = x if like is None else like
    brain = brain_of(source).expand_as(source)
    inside = rearrange(brain, "b c ... -> (b c) (...)")
    known = rearrange(source.float().masked_fill(~brain, -torch.inf), "b c ... -> (b c) (...)")
    values = rearrange(x.float(), "b c ... -> (b c) (...)").contiguous()
    no_brighter = torch.searchsorted(known.sort(dim=1).values, values, right=True)
    count = inside.sum(dim=1, keepdim=True)
    share = (no_brighter - (inside.shape[1] - count)) / count.clamp(min=1)
    return (share * inside).reshape(x.shape)
