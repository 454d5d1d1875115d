"""Gradient scores: the voxels whose change would bring an image's code nearer to the prior are anomalous.

Paper: Zimmerer, Isensee, Petersen, Kohl, Maier-Hein, "Unsupervised anomaly localization using variational
auto-encoders", MICCAI 2019 (https://arxiv.org/abs/1907.02796): the derivative of the KL term with respect to the
image marks anomalies, alone or multiplied with the reconstruction error. Zimmerer et al. 2018
(https://arxiv.org/abs/1812.05941) do the same with the derivative of the whole bound.

Deviations
----------
- The gradient is the plain one, smoothed by a Gaussian; the paper's smoothing by repeated noisy inputs is not had.
- In a product the gradient is divided by its mean over the image's brain, so that the product keeps the unit of the
  residual that it is multiplied with; that leaves the order of the voxels of one image as it is.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from uad_models.gaussian import gaussian_mean
from uad_models.method import brain_of


def value_and_gradient(value: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """Return each image's value and its derivative with respect to the image.

    It works inside ``torch.no_grad`` and ``torch.inference_mode``, and leaves no gradient in any weight.

    Parameters
    ----------
    value
        ``(b, c, *s)`` to ``(b,)``; images must not depend on one another.
    x
        ``(b, c, *s)``.

    Returns
    -------
    value : Tensor
        ``(b,)``.
    gradient : Tensor
        ``(b, c, *s)`` float32.
    """
    with torch.inference_mode(False), torch.enable_grad():
        image = x.detach().float().clone().requires_grad_()
        values = value(image)
        (gradient,) = torch.autograd.grad(values.sum(), image)
    return values.detach(), gradient


def gradient_map(value: Callable[[Tensor], Tensor], x: Tensor, *, smoothing: float) -> Tensor:
    """Return the size of the derivative of each image's value, smoothed inside the brain.

    Parameters
    ----------
    value
        ``(b, c, *s)`` to ``(b,)``, such as the KL divergence of `CodeModel.divergence`.
    x
        ``(b, c, *s)``, 0 outside the brain.
    smoothing
        Standard deviation of the Gaussian in voxels; 0 for none.

    Returns
    -------
    Tensor
        ``(b, 1, *s)`` float32, not negative, averaged over channels, in the value's unit per unit of intensity; 0
        outside the brain.
    """
    brain = brain_of(x)
    size = value_and_gradient(value, x)[1].abs().mean(dim=1, keepdim=True) * brain
    if smoothing == 0:
        return size
    dims = x.dim() - 2
    inside = gaussian_mean(brain.float(), dims=dims, sigma=smoothing)
    return gaussian_mean(size, dims=dims, sigma=smoothing) / inside.clamp(min=1e-6) * brain


def times_gradient(residual: Tensor, gradient: Tensor, brain: Tensor) -> Tensor:
    """Return the product of a residual and a gradient in units of its mean over the brain.

    Parameters
    ----------
    residual, gradient
        ``(b, 1, *s)``, 0 outside the brain.
    brain
        ``(b, 1, *s)`` bool.

    Returns
    -------
    Tensor
        ``(b, 1, *s)``; 0 where the gradient is 0 everywhere.
    """
    space = tuple(range(1, residual.dim()))
    typical = gradient.sum(dim=space, keepdim=True) / brain.sum(dim=space, keepdim=True).clamp(min=1)
    return residual * gradient / typical.clamp(min=torch.finfo(gradient.dtype).tiny)
