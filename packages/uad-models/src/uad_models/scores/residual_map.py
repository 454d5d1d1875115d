"""Image and reconstruction to one map, by the name of a residual."""

from collections.abc import Callable
from typing import Literal

from torch import Tensor

from uad_data.errors import InputError
from uad_models.method import brain_of
from uad_models.scores.equalised import equalised
from uad_models.scores.l1 import l1
from uad_models.scores.l2 import l2
from uad_models.scores.perceptual import lpips_map
from uad_models.scores.signed import signed
from uad_models.scores.structural import ms_ssim, ssim

Residual = Literal["signed", "l1", "l2", "ssim", "ms_ssim", "equalised", "lpips"]

RESIDUALS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "signed": signed,
    "l1": l1,
    "l2": l2,
    "ssim": ssim,
    "ms_ssim": ms_ssim,
    "equalised": equalised,
}

SCALED = ("signed", "l1", "l2")  # differences of intensity: they can be counted in expected errors


def residual_map(
    x: Tensor, reconstruction: Tensor, residual: Residual, *, scale: Tensor | None = None, network: str = ""
) -> Tensor:
    """Return the difference between images and their reconstructions as one map, averaged over channels.

    Parameters
    ----------
    x, reconstruction
        ``(b, c, *s)``; the reconstruction counts inside the brain of ``x``.
    residual
        ``"signed"`` ``max(x − x̂, 0)``; ``"l1"`` ``|x − x̂|``; ``"l2"`` ``(x − x̂)²``; ``"ssim"``
        and ``"ms_ssim"``, ``1 −`` the structural similarity in one window and the mean over several; ``"equalised"``,
        ℓ1 after histogram equalisation; ``"lpips"``, the distance between what a trained network sees.
    scale
        ``(b, c, *s)``, positive: the error to expect at each voxel, by which the difference is divided first.
    network
        For ``"lpips"``: file with the network's weights, see `uad_models.networks.vgg_features`.

    Returns
    -------
    Tensor
        ``(b, 1, *s)`` float32, 0 outside the brain.

    Raises
    ------
    InputError
        A scale with a residual that is no difference of intensities; ``"lpips"`` without a network, or as `lpips_map`.
    """
    check_residual(residual, scaled=scale is not None, network=network)
    brain = brain_of(x)
    x, reconstruction = x.float(), reconstruction.float() * brain
    if scale is not None:
        x, reconstruction = x / scale.float(), reconstruction / scale.float()
    difference = (
        lpips_map(x, reconstruction, network) if residual == "lpips" else RESIDUALS[residual](x, reconstruction)
    )
    return difference.mean(dim=1, keepdim=True) * brain


def check_residual(residual: Residual, *, scaled: bool, network: str) -> None:
    """Refuse a residual that cannot be counted in expected errors where these are predicted, or that lacks its network.

    Parameters
    ----------
    residual
        As `residual_map`.
    scaled
        Whether the difference is to be divided by the error to expect.
    network
        As `residual_map`.

    Raises
    ------
    InputError
        Naming what to change.
    """
    if scaled and residual not in SCALED:
        raise InputError(
            f'residual "{residual}" cannot be divided by a predicted error: set predict_scale to false, or residual to '
            f"one of {', '.join(SCALED)}"
        )
    if residual == "lpips" and not network:
        raise InputError(
            'residual "lpips" needs the weights of a network that you have: set perceptual_network to their file; none '
            "are shipped or downloaded"
        )
