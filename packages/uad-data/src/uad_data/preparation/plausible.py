"""Whether a raw scan can be what its column says, before minutes are spent on it."""

import numpy as np
from numpy.typing import NDArray

from uad_data.errors import InputError
from uad_data.preparation.resampling import Affine

# Voxel edges of clinical head scans in mm; outside lie headers in metres or micrometres.
_EDGES = (0.1, 12.0)
# A head is wider than this, in mm; a scan may cover less of its height.
_LEAST_WIDTH = 80.0
# Air in Hounsfield units, generously.
_AIR = -500.0


def check_plausible(volume: NDArray[np.float32], affine: Affine, *, modality: str, source: str) -> None:
    """Refuse a scan that no recipe can make sense of.

    Parameters
    ----------
    volume : ndarray, shape (d, h, w)
        Intensities.
    affine : ndarray, shape (4, 4)
        Their grid.
    modality : str
        ``"ct"`` is expected in Hounsfield units, anything else is MRI.
    source : str
        The file, for the message.

    Raises
    ------
    InputError
        A single slice, axes that are not at right angles, voxels or a box that are no head's, CT without Hounsfield
        units, or Hounsfield units in what is called MRI.
    """
    edges = np.linalg.norm(affine[:3, :3], axis=0)[::-1]
    box = edges * volume.shape
    size = " × ".join(f"{edge:.3g}" for edge in edges)
    if min(volume.shape) < 2:
        raise InputError(
            f"{source}: expected a volume of several slices, found the shape {volume.shape} (d, h, w); a single slice "
            "cannot be registered: index it as it is, without 'uad-data prepare'"
        )
    directions = affine[:3, :3] / edges[::-1]
    skew = np.abs(directions.T @ directions - np.eye(3)).max()
    if skew > 1e-2:
        raise InputError(
            f"{source}: expected axes at right angles, found some {np.degrees(np.arcsin(min(skew, 1))):.0f}° off "
            "(a tilted CT gantry?); resample it to a straight grid first, or repair the header"
        )
    if edges.min() < _EDGES[0] or edges.max() > _EDGES[1]:
        raise InputError(
            f"{source}: expected voxels of {_EDGES[0]} to {_EDGES[1]:g} mm, found {size} mm (d, h, w); repair the "
            "header's voxel size, it may be in another unit"
        )
    if sorted(box)[1] < _LEAST_WIDTH:
        extent = " × ".join(f"{length:.0f}" for length in box)
        raise InputError(
            f"{source}: expected a box that can hold a head, found {extent} mm (d, h, w); repair the voxel size, or "
            "leave the scan out"
        )
    lowest = float(volume.min())
    if modality == "ct" and lowest > _AIR:
        raise InputError(
            f"{source}: expected CT in Hounsfield units with air near -1000, found nothing below {lowest:g}; apply the "
            "DICOM's rescale slope and intercept, or name the modality by what it is"
        )
    if modality != "ct" and lowest < _AIR and float(np.mean(volume < _AIR)) > 0.05:
        raise InputError(
            f"{source}: expected MRI ({modality}), found values down to {lowest:g} like Hounsfield units; is it CT? "
            "Then call its column image_ct"
        )
