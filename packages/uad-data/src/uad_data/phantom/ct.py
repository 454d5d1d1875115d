"""A person's head in Hounsfield units: brain, skull, scalp, neck, and what a CT scanner makes of them.

Ranges are from textbooks (Hofer, "CT Teaching Manual"; Osborn, "Osborn's Brain"): grey matter 36 to 42 HU, white matter
26 to 32 (more fat, less water), fluid 3 to 12; flowing blood of the sinuses 45 to 60; calcium of the choroid plexus,
which two adults in three have, and of the pineal gland, 70 to 160; bone 300 (marrow) to 1500; fat −100 to −70.

What the one real head at hand says (``ct`` of the real scans, an average of people): grey over white matter 7 HU, which
the ranges hold. All its tissue is about 14 HU above the textbooks', which is not followed: it is an average of several
scanners and resampled. Tissue rises towards the skull, from 48 HU at 20 to 30 mm to 56 HU at 10 to 12 mm, farther than
a blurred skull reaches: beam hardening that is not fully corrected. `CUPPING` is that rise at the skull.

Left out: face, orbits, sinuses, the dark bands between the petrous bones, and the scanner's couch.
"""

import numpy as np
from scipy import ndimage

from uad_data.phantom.anatomy import Anatomy, grid_affine, smooth_field

Range = tuple[float, float]

GREY: Range = (36.0, 42.0)
"""Grey matter, HU."""

WHITE: Range = (26.0, 32.0)
"""White matter, HU."""

FLUID: Range = (3.0, 12.0)
"""Cerebrospinal fluid, HU."""

CUPPING: Range = (2.0, 8.0)
"""What tissue at the skull gains by beam hardening, HU; it falls off over 12 mm."""

NOISE: Range = (2.5, 6.0)
"""Standard deviation of the noise, HU; 0.3 to 0.5 % of water's attenuation is usual for a head."""

THICKNESS: Range = (1.0, 5.0)
"""Slice thickness in mm."""

AIR, LARGEST = -1024, 3071
_ROOM_MM = ((22.0, 22.0), (22.0, 22.0), (34.0, 22.0))
_CANAL_MM, _NECK_MM = 13.0, 55.0


def ct_affine(spacing: float) -> np.ndarray:
    """Return the ``(4, 4)`` affine from voxel to MNI-like RAS mm of a head's grid."""
    affine = grid_affine(spacing)
    affine[:3, 3] -= [spacing * before for before, _ in _room(spacing)]
    return affine


def with_room(volume: np.ndarray, spacing: float, value: float) -> np.ndarray:
    """Put a volume on the brain's grid onto the head's, which has room for skull, scalp and neck.

    Parameters
    ----------
    volume
        ``(x, y, z)``.
    spacing
        Voxel size in mm.
    value
        Of the room.

    Returns
    -------
    ndarray
        Larger, of the same type.
    """
    return np.pad(volume, _room(spacing), constant_values=value)


def _room(spacing: float) -> list[tuple[int, int]]:
    """Voxels before and behind each axis."""
    return [(int(np.ceil(a / spacing)), int(np.ceil(b / spacing))) for a, b in _ROOM_MM]


def paint_ct(rng: np.random.Generator, anatomy: Anatomy) -> np.ndarray:
    """Draw a person's densities and return the brain as an ideal scanner would see it.

    Parameters
    ----------
    rng
        Source of randomness; nothing drawn depends on the anatomy.
    anatomy
        The person.

    Returns
    -------
    ndarray
        ``(x, y, z)`` float32 in HU, fluid outside the brain.
    """
    grey, white, fluid = (rng.uniform(*limits) for limits in (GREY, WHITE, FLUID))
    coarse, fine = (smooth_field(rng, anatomy.shape, anatomy.spacing, scale) for scale in (9.0, 2.5))
    image = np.float32(grey) * anatomy.grey + np.float32(white) * anatomy.white + np.float32(fluid) * anatomy.fluid
    image += (1 - anatomy.fluid) * np.float32(rng.uniform(0.5, 1.2)) * (0.75 * coarse + 0.65 * fine)
    # Small vessels of old age take their toll around the ventricles.
    pale = rng.uniform(0, 5) * np.exp(-((np.maximum(anatomy.wall, 0) / rng.uniform(4.0, 10.0)) ** 2))
    image -= (anatomy.white * pale).astype(np.float32)
    x, y, z = np.abs(anatomy.mni_x), anatomy.mni_y, anatomy.mni_z
    sinus = np.exp(-((x / 3.5) ** 2)) * np.clip(1 - anatomy.depth / 5, 0, 1) * (z > -10) * anatomy.fluid
    falx = np.exp(-((x / 1.2) ** 2)) * (z > 15) * (anatomy.wall > 8) * anatomy.fluid
    dura = np.clip(sinus + 0.7 * falx, 0, 1) * anatomy.brain
    image += dura * (np.float32(rng.uniform(45, 60)) - image)
    tuft = np.exp(-(((x - 22) / 6) ** 2) - ((y + 38) / 6) ** 2 - ((z - 8) / 7) ** 2) * (anatomy.wall < 3)
    grains = np.clip(smooth_field(rng, anatomy.shape, anatomy.spacing, 3.0), 0, 1.5)
    pineal = np.exp(-((x / 2.5) ** 2) - ((y + 30) / 2.5) ** 2 - (z / 2.5) ** 2)
    calcium = (tuft * grains) * (rng.random() < 0.65) + pineal * (rng.random() < 0.65)
    image += np.float32(rng.uniform(70, 160)) * np.clip(calcium, 0, 1).astype(np.float32)
    return image.astype(np.float32)


def enclose(rng: np.random.Generator, brain_hu: np.ndarray, anatomy: Anatomy) -> np.ndarray:
    """Put the brain into a head: meninges, skull with a foramen magnum, scalp, neck, air.

    Parameters
    ----------
    rng
        Source of randomness.
    brain_hu
        ``(x, y, z)`` float32 in HU, from `paint_ct`.
    anatomy
        Whose brain it is.

    Returns
    -------
    ndarray
        Float32 in HU on the head's grid, see `with_room`.
    """
    spacing = anatomy.spacing
    brain = with_room(anatomy.brain, spacing, value=False)
    closed = ndimage.binary_fill_holes(_closed(brain, 8.0 / spacing))
    rough = with_room(smooth_field(rng, anatomy.shape, spacing, 20.0), spacing, 0.0)
    beyond = (spacing * ndimage.distance_transform_edt(~closed)).astype(np.float32)
    gap = rng.uniform(1.5, 3.0)
    bone = gap + rng.uniform(5.0, 8.0) * np.clip(1 + 0.2 * rough, 0.6, 1.6)
    fat = bone + rng.uniform(1.0, 2.5)
    skin = fat + rng.uniform(2.5, 6.0)
    marrow, table, muscle = rng.uniform(300, 700), rng.uniform(1000, 1500), rng.uniform(45, 60)
    fluid = rng.uniform(*FLUID)
    head = _neck(brain, beyond, gap, spacing, muscle=muscle, bone=table)
    head[beyond < skin + 2.0] = 20.0
    head[beyond < skin] = rng.uniform(-100, -70)
    head[beyond < fat] = muscle
    head[beyond < bone] = table
    middle = np.abs(beyond - (gap + bone) / 2) < 0.22 * (bone - gap)
    head[middle & (beyond > gap)] = marrow
    canal = _canal(brain, beyond, spacing)
    head[canal] = fluid
    head[(beyond <= gap)] = fluid
    inside = tuple(slice(before, before + n) for (before, _), n in zip(_room(spacing), anatomy.shape, strict=True))
    head[inside][anatomy.brain] = brain_hu[anatomy.brain]
    return head


def acquire_ct(rng: np.random.Generator, head: np.ndarray, anatomy: Anatomy) -> np.ndarray:
    """Scan a head: blur by resolution and slice thickness, beam hardening, noise with the grain of a reconstruction.

    Parameters
    ----------
    rng
        Source of randomness.
    head
        Float32 in HU, from `enclose`.
    anatomy
        Whose head it is.

    Returns
    -------
    ndarray
        int16 in HU, -1024 to 3071, on the head's grid.
    """
    spacing = anatomy.spacing
    widths = (*(2 * (rng.uniform(0.8, 1.5),)), rng.uniform(*THICKNESS))
    sigma = [np.sqrt(max(w**2 - spacing**2 / 2, 0)) / 2.355 / spacing for w in widths]
    image = ndimage.gaussian_filter(head, sigma, truncate=3.0)
    shading = rng.uniform(*CUPPING) * np.exp(-anatomy.depth / 12) * anatomy.brain
    image += with_room(shading.astype(np.float32), spacing, 0.0)
    # Filtered back projection leaves little noise of low frequency within a slice; slices are noisy for themselves.
    white = rng.standard_normal(head.shape, dtype=np.float32)
    noise = ndimage.gaussian_filter(white, (0.5, 0.5, 0)) - 0.7 * ndimage.gaussian_filter(white, (1.2, 1.2, 0))
    noise *= np.float32(np.exp(rng.uniform(*np.log(NOISE))) / noise.std())
    return np.clip(np.rint(image + noise), AIR, LARGEST).astype(np.int16)


def _closed(brain: np.ndarray, radius: float) -> np.ndarray:
    """Close gaps narrower than twice the radius in voxels, by distances."""
    grown = ndimage.distance_transform_edt(~brain) <= radius
    return (ndimage.distance_transform_edt(grown) > radius) | brain


def _axis(brain: np.ndarray, spacing: float) -> tuple[np.ndarray, int]:
    """Distance in mm from the upright line through the end of the brain stem ``(x, y, 1)``, and its lowest slice."""
    bottom = int(np.flatnonzero(brain.any((0, 1)))[0])
    x, y, _ = ndimage.center_of_mass(brain[:, :, bottom : bottom + max(1, round(6 / spacing))])
    i, j = (np.arange(n, dtype=np.float32) for n in brain.shape[:2])
    return spacing * np.hypot(i[:, None] - x, j - y)[:, :, None], bottom


def _canal(brain: np.ndarray, beyond: np.ndarray, spacing: float) -> np.ndarray:
    """Where the spinal canal goes through the floor of the skull and down the neck."""
    away, bottom = _axis(brain, spacing)
    below = np.arange(brain.shape[2]) < bottom + round(8 / spacing)
    return (away < _CANAL_MM) & below & (beyond > 0)


def _neck(
    brain: np.ndarray, beyond: np.ndarray, gap: float, spacing: float, *, muscle: float, bone: float
) -> np.ndarray:
    """Air, and a neck of muscle around vertebrae below the skull."""
    away, bottom = _axis(brain, spacing)
    head = np.full(brain.shape, -1000.0, np.float32)
    below = (np.arange(brain.shape[2]) < bottom + round(12 / spacing)) & (beyond > gap)
    head[below & (away < _NECK_MM + 5)] = -90.0
    head[below & (away < _NECK_MM)] = muscle
    head[below & (away < _CANAL_MM + 6)] = bone
    return head
