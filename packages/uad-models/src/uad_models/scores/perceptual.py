"""LPIPS: the distance between what a trained network sees in two images, by the user's own weights.

Paper: Zhang, Isola, Efros, Shechtman, Wang, "The unreasonable effectiveness of deep features as a perceptual metric",
CVPR 2018 (https://arxiv.org/abs/1801.03924), equation 1: the features of each level are brought to length 1 at every
place, and the weighted squares of their differences are added up over channels and levels.

Deviations: every sequence is compared by itself and the mean is taken; volumes are compared slice by slice along their
first axis. Which networks can be used: `uad_models.networks.vgg_features`.
"""

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional

from uad_data.errors import InputError
from uad_models.networks.vgg_features import vgg_features

_TINY = 1e-10
_AT_A_TIME = 32  # slices: the widest features of a slice of 256 × 256 take 17 MB


def lpips_map(x: Tensor, reconstruction: Tensor, network: str) -> Tensor:
    """Return the perceptual distance at every voxel, the levels enlarged to the image's size.

    Parameters
    ----------
    x, reconstruction
        ``(b, c, *s)`` float32, about 0 to 1.
    network
        File with the weights, see `vgg_features`.

    Returns
    -------
    Tensor
        ``(b, c, *s)`` float32, not negative.

    Raises
    ------
    InputError
        As `vgg_features`, or the image is too small for the network.
    """
    parts = []
    for pair in zip(_slices(x).split(_AT_A_TIME), _slices(reconstruction).split(_AT_A_TIME), strict=True):
        enlarged = [functional.interpolate(each, x.shape[-2:], mode="bilinear") for each in _levels(*pair, network)]
        parts.append(torch.stack(enlarged).sum(dim=0))
    return torch.cat(parts).view(x.shape)


def lpips(x: Tensor, reconstruction: Tensor, network: str) -> Tensor:
    """Return the mean over images of the perceptual distance, a loss (equation 1).

    Parameters
    ----------
    x, reconstruction
        ``(b, c, *s)`` float32, about 0 to 1.
    network
        File with the weights, see `vgg_features`.

    Returns
    -------
    Tensor
        Scalar; gradients reach both images, never the network.

    Raises
    ------
    InputError
        As `lpips_map`.
    """
    return torch.stack([level.mean() for level in _levels(_slices(x), _slices(reconstruction), network)]).sum()


def _slices(x: Tensor) -> Tensor:
    """Every slice of every sequence as an image of its own, ``(n, 1, h, w)`` float32."""
    return rearrange(x.float(), "... h w -> (...) 1 h w")


def _levels(x: Tensor, reconstruction: Tensor, network: str) -> list[Tensor]:
    """Return the weighted squares of the differences, ``(n, 1, h', w')`` for each level."""
    vgg = vgg_features(network, x.device)
    if min(x.shape[-2:]) < vgg.smallest:
        raise InputError(
            f"perceptual_network: expected slices of at least {vgg.smallest} pixels a side, got {tuple(x.shape[-2:])}: "
            "choose larger slices or a network with fewer poolings"
        )
    with torch.autocast(x.device.type, enabled=False):
        pairs = zip(vgg(x), vgg(reconstruction), vgg.weights, strict=True)
        return [
            torch.einsum("bchw,c->bhw", (_unit(one) - _unit(other)).square(), weight).unsqueeze(1)
            for one, other, weight in pairs
        ]


def _unit(features: Tensor) -> Tensor:
    """Features of length 1 at every place; 0 where there are none."""
    return functional.normalize(features, dim=1, eps=_TINY)
