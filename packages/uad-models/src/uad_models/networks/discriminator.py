"""Opponents for adversarial losses: one tells codes from a prior's draws, one tells reconstructions from images.

Axes: ``b`` batch, ``c`` channels, ``*s`` space: ``(h, w)`` or ``(d, h, w)``.
"""

import itertools

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from uad_models.networks.encoder_decoder import CONVOLUTION

SLOPE = 1.0


class CodeDiscriminator(nn.Sequential):
    """Two hidden layers from a vector to one logit, ``(b, features)`` to ``(b, 1)``.

    Parameters
    ----------
    features
        Length of the vector.
    width
        Of the hidden layers.
    """

    def __init__(self, features: int, *, width: int = 64) -> None:
        super().__init__(
            nn.Linear(features, width),
            nn.LeakyReLU(0.2),
            nn.Linear(width, width),
            nn.LeakyReLU(0.2),
            nn.Linear(width, 1),
        )


class PatchDiscriminator(nn.Sequential):
    """Strided convolutions from an image to a logit per patch, ``(b, c, *s)`` to ``(b, 1, *s / 2**len(channels))``.

    Parameters
    ----------
    dims
        2 or 3.
    in_channels
        Channels of the image.
    channels
        Width after each halving.
    """

    def __init__(self, *, dims: int, in_channels: int, channels: tuple[int, ...]) -> None:
        layers: list[nn.Module] = []
        for inside, outside in itertools.pairwise((in_channels, *channels)):
            layers += [CONVOLUTION[dims](inside, outside, kernel_size=4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        super().__init__(*layers, CONVOLUTION[dims](channels[-1], 1, kernel_size=1))


def tell_apart(discriminator: nn.Module, real: Tensor, made: Tensor) -> Tensor:
    """Return the discriminator's loss: binary cross-entropy with both kinds summed, and a penalty on its slope.

    The penalty is `SLOPE` / 2 times the squared derivative of the logits with respect to what is real, summed over an
    example and averaged over examples: R₁ of Mescheder, Geiger, Nowozin, "Which training methods for GANs do actually
    converge?", ICML 2018 (https://arxiv.org/abs/1801.04406), equation 9.

    Parameters
    ----------
    discriminator
        To logits, high for what is real.
    real, made
        What it takes; no gradient passes to them.

    Returns
    -------
    Tensor
        Scalar float32; ``2 log 2`` for a discriminator that says the same of everything.
    """
    real = real.detach().requires_grad_()
    logits = discriminator(real).float()
    (slope,) = torch.autograd.grad(logits.sum(), real, create_graph=True)
    penalty = slope.float().square().flatten(1).sum(dim=1).mean()
    return softplus(-logits).mean() + softplus(discriminator(made.detach()).float()).mean() + SLOPE / 2 * penalty


def pass_for_real(discriminator: nn.Module, made: Tensor) -> Tensor:
    """Return the loss of what should be taken for real (Goodfellow's non-saturating one).

    Parameters
    ----------
    discriminator
        To logits, high for what is real.
    made
        What it takes; gradient passes to it.

    Returns
    -------
    Tensor
        Scalar float32, positive.
    """
    return softplus(-discriminator(made).float()).mean()
