"""The brain of a head CT: soft tissue enclosed by bone, held to where a template's brain can be.

Voxels of -15 to 100 HU (fluid 0 to 15, brain 20 to 45, fresh blood up to 90) are soft tissue; bone and air part those
inside the skull from scalp and face. Eroded, the small openings of the skull close, and the largest piece is the brain
with what is left of the neck below; grown back, it ends at the bone. The neck's canal is wide: an affine of the
template's brain to what was found ends it.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from uad_data.brain_extraction.template import WORK_MM, largest, padded_depth, sample, to_native, work_grid
from uad_data.errors import InputError
from uad_data.preparation.registration import register
from uad_data.preparation.templates import load_template

_BONE = 300.0
_LOW, _HIGH = -15.0, 100.0
# Erosion that parts the brain from what lies outside the skull.
_NECK_MM, _OPEN_MM = 6.0, 6.0
# No brain reaches further below its own top.
_HEIGHT_MM = 160.0
# The template's brain plus this much, in mm, bounds what is kept.
_REACH = 4.0
_SMALLEST_ML = 300.0


def extract_ct(volume: NDArray[np.float32], affine: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Mask the inside of the skull in a CT of the head.

    Parameters
    ----------
    volume : ndarray, shape (d, h, w), float32
        Hounsfield units; any voxel size.
    affine : ndarray, shape (4, 4), float64
        Maps voxel indices ``(i, j, k) = (w, h, d)`` to RAS mm.

    Returns
    -------
    ndarray, shape (d, h, w), bool

    Raises
    ------
    InputError
        There is no air, bone or enclosed soft tissue at the values that Hounsfield units give them.
    """
    _check_units(volume)
    work, work_affine = work_grid(np.clip(volume, -1024, 3000), affine, WORK_MM)
    inside = _enclosed(work)
    template = load_template(spacing=WORK_MM)
    to_head = register(
        np.clip(work, _LOW, _HIGH) - _LOW,
        work_affine,
        template.image,
        template.affine,
        transform="affine",
        moving_mask=inside,
        fixed_mask=template.brain,
    )
    template_depth, shift = padded_depth(template.brain, WORK_MM)
    to_depth = shift @ np.linalg.inv(template.affine) @ np.linalg.inv(to_head) @ work_affine
    inside &= sample(template_depth, to_depth, work.shape, outside=None) > -_REACH
    # What hangs on by a thread, below the temporal lobes and in the orbits, goes.
    inside = largest(ndimage.binary_opening(inside, _ball(round(_OPEN_MM / WORK_MM))))
    smooth = ndimage.gaussian_filter(inside.astype(np.float32), 0.7)
    return to_native(smooth, work_affine, volume.shape, affine) > 0.5


def _check_units(volume: NDArray[np.float32]) -> None:
    """Refuse what cannot be Hounsfield units of a head."""
    bone, tissue = (volume > _BONE).mean(), ((volume > _LOW) & (volume < _HIGH)).mean()
    if bone < 0.002 or tissue < 0.02 or volume.min() > -200:
        raise InputError(
            "brain extraction by 'ct': expected a head in Hounsfield units (air below -200, soft tissue 0 to 80, bone "
            f"above 300), found values from {volume.min():.0f} to {volume.max():.0f}, {tissue:.0%} of them soft tissue "
            f"and {bone:.1%} bone; apply the rescale slope and intercept of the DICOM files"
        )


def _enclosed(work: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Find the soft tissue inside the skull, with some neck."""
    radius = round(_NECK_MM / WORK_MM)
    calm = ndimage.gaussian_filter(np.clip(work, -200, 400), 0.5)
    soft = (calm > _LOW) & (calm < _HIGH)
    core = largest(ndimage.binary_erosion(soft, _ball(radius)))
    if core.sum() * WORK_MM**3 / 1000 < 0.5 * _SMALLEST_ML:
        raise InputError(
            "brain extraction by 'ct': expected soft tissue enclosed by bone, found none as large as a brain; "
            "look at the scan, and use extractor 'stripped' if the skull is gone"
        )
    top = np.flatnonzero(core.any((1, 2)))[-1]
    core[: max(0, top - round(_HEIGHT_MM / WORK_MM))] = False
    grown = ndimage.binary_dilation(core, _ball(radius + 1)) & (calm < _HIGH)
    # Calcium and clots stay.
    return np.stack([ndimage.binary_fill_holes(one) for one in grown])


def _ball(radius: int) -> NDArray[np.bool_]:
    """Ball of a radius in voxels."""
    grid = np.indices((2 * radius + 1,) * 3) - radius
    return (grid**2).sum(0) <= radius**2 + 0.5
