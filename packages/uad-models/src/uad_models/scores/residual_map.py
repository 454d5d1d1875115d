"""Image and reconstruction to one map, by the name of a residual."""

from collections.abc import Callable
from typing import Literal

from torch import Tensor

from uad_data.errors import InputError
from uad_models.method import brain_of
from uad_models.scores.equalised import equalised
from uad_models.scores.l1 import l1
from uad_models.scores.l2 import l2
from uad_models.scores.signed import signed
from uad_models.scores.structural import ms_ssim, ssim

Residual = Literal["signed", "l1", "l2", "ssim", "ms_ssim", "equalised"]

RESIDUALS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "signed": signed,
    "l1": l1,
    "l2": l2,
    "ssim": ssim,
    "ms_ssim": ms_ssim,
    "equalised": equalised,
}

SCALED = ("signed", "l1", "l2")  # differences of intensity: they can be counted in expected errors


def residual_map(x: Tensor, reconstruction: Tensor, residual: Residual, *, scale: Tensor | None = None) -> Tensor:
    """Return the difference between images and their reconstructions as one map, averaged over channels.

    Parameters
    ----------
    x, reconstruction
        ``(b, c, *s)``; the reconstruction counts inside the brain of ``x``.
    residual
        One of `RESIDUALS`: ``"signed"`` ``max(x − x̂, 0)``; ``"l1"`` ``|x − x̂|``; ``"l2"`` ``(x − x̂)²``; ``"ssim"``
        and ``"ms_ssim"``, ``1 −`` the structural similarity in one window and the mean over several; ``"equalised"``,
        ℓ1 after histogram equalisation.
    scale
        ``(b, c, *s)``, positive: the error to expect at each voxel, by which the difference is divided first.

    Returns
    -------
    Tensor
        ``(b, 1, *s)`` float32, 0 outside the brain.

    Raises
    ------
    InputError
        A scale with a residual that is no difference of intensities.
    """
    check_residual(residual, scaled=scale is not None)
    brain = brain_of(x)
    x, reconstruction = x.float(), reconstruction.float() * brain
    if scale is not None:
        x, reconstruction = x / scale.float(), reconstruction / scale.float()
    return RESIDUALS[residual](x, reconstruction).mean(dim=1, keepdim=True) * brain


def check_residual(residual: Residual, *, scaled: bool) -> None:
    """Refuse a residual that cannot be counted in expected errors where these are predicted.

    Parameters
    ----------
    residual
        One of `RESIDUALS`.
    scaled
        Whether the difference is to be divided by the error to expect.

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
