"""The brain of a raw head by fitting a template's brain to it; the default, needs no program and no weights.

Idea. The inside of the skull, found slice by slice (`brain_mask.head_slice_mask`), is right over the dome but takes in
neck and orbits. It is good enough to lay the template's brain on it by an affine, which knows where a brain ends below.
A smooth deformation by local correlation then moves the template's cortex onto this person's. The template ends at the
cortex and people's skulls do not, so its surface is moved outwards by the width of the fluid around an average brain.
Only signs of edges are used, no levels: T1, T2, FLAIR and others are treated alike.
"""

from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from uad_data.brain_extraction.deformable import deform
from uad_data.brain_mask import head_slice_mask
from uad_data.errors import InputError
from uad_data.preparation.registration import register
from uad_data.preparation.templates import Template, load_template

WORK_MM = 2.0
# Fluid between cortex and skull, in mm of the template; chosen on ten of the IXI heads.
_FLUID = 5.0
# How far from the affine's brain the deformation looks for evidence, and the room around it.
_TRUSTED, _ROOM = 5.0, 14.0
# What the inside of the skull as seen slice by slice counts against the template.
_SEEN = 0.2


def extract_template(volume: NDArray[np.float32], affine: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Mask the brain of a head with skull: cortex, ventricles and the fluid around, down to the brain stem's end.

    Parameters
    ----------
    volume : ndarray, shape (d, h, w), float32
        One MR sequence; any voxel size, the field of view may cut the head.
    affine : ndarray, shape (4, 4), float64
        Maps voxel indices ``(i, j, k) = (w, h, d)`` to RAS mm.

    Returns
    -------
    ndarray, shape (d, h, w), bool

    Raises
    ------
    InputError
        No head is found.
    """
    work, work_affine = work_grid(volume, affine, WORK_MM)
    # Noise loses nearly all of its variance to a blur, a head little.
    structured = ndimage.gaussian_filter(work, 4.0 / WORK_MM).var() > 0.2 * work.var()
    seen = head_slice_mask(work, (WORK_MM,) * 3)
    if not structured or seen.sum() * WORK_MM**3 < 2e5:
        raise InputError(
            "brain extraction by 'template': expected a head with its skull, found less than 200 ml that look like the "
            "inside of one; look at the scan, and use extractor 'stripped' if the skull is gone"
        )
    template = load_template(spacing=WORK_MM)
    to_head = register(
        work,
        work_affine,
        template.image,
        template.affine,
        transform="affine",
        moving_mask=seen,
        fixed_mask=template.brain,
    )
    depth = _fit(work, seen, template, np.linalg.inv(template.affine) @ np.linalg.inv(to_head) @ work_affine)
    return to_native(depth, work_affine, volume.shape, affine) > 0


def work_grid(
    volume: NDArray[np.float32], affine: NDArray[np.float64], mm: float
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Resample a scan to cubic voxels along the RAS axes over its whole field of view.

    Parameters
    ----------
    volume : ndarray, shape (d, h, w), float32
        The scan. Space outside takes its lowest value.
    affine : ndarray, shape (4, 4), float64
        Maps voxel indices ``(i, j, k) = (w, h, d)`` to RAS mm; may be oblique.
    mm : float
        Voxel size.

    Returns
    -------
    ndarray, shape (d, h, w), float32
        The resampled scan.
    ndarray, shape (4, 4), float64
        Its affine.
    """
    own = np.linalg.norm(affine[:3, :3], axis=0)
    corners = np.array(list(product(*((-0.5, n - 0.5) for n in volume.shape[::-1])))) @ affine[:3, :3].T + affine[:3, 3]
    shape = np.maximum(1, np.round(np.ptp(corners, axis=0) / mm)).astype(int)
    work_affine = np.diag([mm, mm, mm, 1.0])
    work_affine[:3, 3] = corners.min(0) + mm / 2
    blurred = ndimage.gaussian_filter(volume, 0.425 * np.sqrt(np.maximum((mm / own[::-1]) ** 2 - 1, 0)))
    work = sample(blurred, np.linalg.inv(affine) @ work_affine, tuple(shape[::-1]), outside=float(volume.min()))
    return work, work_affine


def to_native(
    work: NDArray[np.float32], work_affine: NDArray[np.float64], shape: tuple[int, ...], affine: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Sample a map on the work grid at the scan's own voxels; the inverse of `work_grid` for smooth maps.

    Parameters
    ----------
    work : ndarray, shape (d, h, w), float32
        Values on the work grid.
    work_affine : ndarray, shape (4, 4), float64
        The work grid's affine.
    shape : tuple of int
        Of the scan, (d, h, w).
    affine : ndarray, shape (4, 4), float64
        The scan's.

    Returns
    -------
    ndarray, shape (d, h, w), float32
    """
    return sample(work, np.linalg.inv(work_affine) @ affine, shape, outside=None)


def sample(
    volume: NDArray[np.float32], to_index: NDArray[np.floating], shape: tuple[int, ...], *, outside: float | None
) -> NDArray[np.float32]:
    """Sample a volume linearly on another grid.

    Parameters
    ----------
    volume : ndarray, shape (d, h, w), float32
        What is sampled.
    to_index : ndarray, shape (4, 4), float64
        Maps voxel indices ``(i, j, k)`` of the other grid to the volume's.
    shape : tuple of int
        Of the other grid, (d, h, w).
    outside : float or None
        Value outside the volume; None repeats its border.

    Returns
    -------
    ndarray, shape (d, h, w), float32
    """
    return ndimage.affine_transform(
        volume,
        to_index[:3, :3][::-1, ::-1],
        to_index[:3, 3][::-1],
        shape,
        order=1,
        mode="nearest" if outside is None else "grid-constant",
        cval=outside or 0.0,
        output=np.float32,
    )


def _fit(
    work: NDArray[np.float32], seen: NDArray[np.bool_], template: Template, to_template: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Deform the template's brain to the head; return the depth below the brain's surface in mm, below 0 outside."""
    template_depth, shift = padded_depth(template.brain, WORK_MM)
    to_depth = shift @ to_template
    depth = sample(template_depth, to_depth, work.shape, outside=None)
    box = ndimage.find_objects((depth > -_ROOM).astype(np.uint8))[0]
    offset = np.eye(4)
    offset[:3, 3] = [b.start for b in box[::-1]]
    shape = tuple(b.stop - b.start for b in box)
    aligned = sample(template.image, to_template @ offset, shape, outside=0.0)
    low, high = np.percentile(work[depth > 0], [2, 98])
    head = np.clip((work[box] - low) / max(high - low, 1e-6), 0, 1.1).astype(np.float32)
    trusted = ndimage.gaussian_filter((depth[box] > -_TRUSTED).astype(np.float32), 1)
    moved = deform(aligned / np.percentile(aligned[aligned > 0.1], 98), head, trusted)
    linear = (to_depth @ offset)[:3, :3][::-1, ::-1].astype(np.float32)
    start = (to_depth @ offset)[:3, 3][::-1].astype(np.float32)[:, None, None, None]
    at = np.einsum("ab,bdhw->adhw", linear, np.indices(shape, dtype=np.float32) + moved) + start
    fitted = ndimage.map_coordinates(template_depth, at, order=1, mode="nearest") + np.float32(_FLUID)
    seen_depth = np.clip(_depth(seen[box], WORK_MM) + 2.0, -8, 8)
    out = np.full(work.shape, -_ROOM, np.float32)
    out[box] = (1 - _SEEN) * np.clip(fitted, -8, 8) + _SEEN * seen_depth
    return out


def _depth(mask: NDArray[np.bool_], mm: float) -> NDArray[np.float32]:
    """Distance to a mask's surface in mm, below 0 outside."""
    inside, outside = ndimage.distance_transform_edt(mask), ndimage.distance_transform_edt(~mask)
    return (mm * (np.where(mask, inside - 0.5, 0.5 - outside))).astype(np.float32)


def padded_depth(mask: NDArray[np.bool_], mm: float) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Measure the depth below a mask's surface, with room around the mask.

    Parameters
    ----------
    mask : ndarray, shape (d, h, w), bool
        A brain.
    mm : float
        Voxel size.

    Returns
    -------
    ndarray, shape (d, h, w), float32
        Depth in mm, below 0 outside.
    ndarray, shape (4, 4), float64
        Maps the mask's voxel indices ``(i, j, k)`` to the result's.
    """
    pad = int(np.ceil(2 * _ROOM / mm))
    shift = np.eye(4)
    shift[:3, 3] = pad
    return _depth(np.pad(mask, pad), mm), shift


def largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Keep the largest connected part.

    Parameters
    ----------
    mask : ndarray, shape (d, h, w), bool
        Any number of parts.

    Returns
    -------
    ndarray, shape (d, h, w), bool
    """
    labels, count = ndimage.label(mask)
    return mask if count < 2 else labels == np.bincount(labels.ravel())[1:].argmax() + 1
