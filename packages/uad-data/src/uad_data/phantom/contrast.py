"""From tissue to sequences: contrast, normal bright structures, texture, blur, bias field and noise.

The ranges are the 10th to 90th percentile (both people, where there are two) of what ``benchmarks/
measure_real_ranges.py`` of the project prints for real scans, relative to white matter:

- grey matter and fluid: T1 from 30 people of ``ixi`` (grey 0.73 to 0.74, fluid 0.23 to 0.29) and 2 of ``ms`` (0.65 and
  0.68; 0.09); T2 and T1 after contrast from ``ms`` (grey 1.43 and 0.76, fluid 3.34 and 0.18; one person, widened by
  about a tenth); FLAIR grey from ``ms`` (1.13 and 1.23, widened), fluid from 700 slices of ``soop`` (0.10 to 0.23)
  and ``ms`` (0.34 and 0.40);
- noise: diagonal Haar coefficients, FLAIR from ``soop`` (0.009 to 0.032), ``lgg`` (36 people, 0.016 to 0.058) and
  ``ms`` (0.039 and 0.053), T1 from ``ixi`` (0.026 to 0.032), ``lgg`` (0.016 to 0.033) and ``ms`` (0.013 and 0.016), T1
  after contrast from ``lgg`` and ``ms``, T2 from ``ms`` (0.032);
- bias field, 95th over 5th percentile: 1.07 to 1.22 (``soop``) and 1.09 to 1.12 (``ixi``);
- texture: the spread of white matter is 0.09 and 0.11 on FLAIR, 0.05 and 0.08 on T1, 0.12 on T2 (``ms``), noise and
  bias included;
- healthy tissue: its 99th percentile is 1.32 to 1.69 of the median on FLAIR (``soop``): caps and the like.

`CAPS`, `COIL` and `THICKNESS` are not measured one by one: they are chosen so that the 99th percentile and the spread
of healthy tissue come near ``soop`` (phantoms: 1.23 to 1.44 and 0.11 to 0.15; ``soop``: 1.32 to 1.69 and 0.13 to 0.22).
"""

import numpy as np
from scipy import ndimage

from uad_data.phantom.anatomy import Anatomy, smooth_field

SEQUENCES = ("t1", "t1ce", "t2", "flair")
"""Names of the sequences, in the order in which they are drawn."""

GREY = {"t1": (0.65, 0.74), "t1ce": (0.70, 0.80), "t2": (1.30, 1.50), "flair": (1.10, 1.28)}
"""Grey matter relative to white matter."""

FLUID = {"t1": (0.09, 0.29), "t1ce": (0.16, 0.28), "t2": (2.9, 3.5), "flair": (0.10, 0.40)}
"""Cerebrospinal fluid relative to white matter."""

NOISE = {"t1": (0.013, 0.033), "t1ce": (0.011, 0.034), "t2": (0.02, 0.04), "flair": (0.012, 0.058)}
"""Standard deviation of the noise relative to white matter."""

BIAS = (1.07, 1.22)
"""95th over 5th percentile of the bias field."""

COIL = (-0.03, 0.14)
"""How much brighter the surface of the brain is, which is nearer to the receiver coil."""

TEXTURE = {"t1": (0.02, 0.05), "t1ce": (0.02, 0.05), "t2": (0.04, 0.08), "flair": (0.04, 0.09)}
"""Standard deviation of normal tissue that is neither noise nor bias, relative to white matter."""

CAPS = (0.15, 0.90)
"""What a periventricular cap adds on FLAIR, relative to white matter."""

THICKNESS = {"t1": (1.0, 2.5), "t1ce": (1.0, 3.0), "t2": (2.0, 5.0), "flair": (1.5, 5.0)}
"""Slice thickness in mm."""


def paint(rng: np.random.Generator, anatomy: Anatomy) -> dict[str, np.ndarray]:
    """Draw a person's contrasts and return the images as an ideal scanner would see them.

    Parameters
    ----------
    rng
        Source of randomness; nothing drawn depends on the anatomy, so that two anatomies that differ in one place
        give images that differ in that place only.
    anatomy
        The person.

    Returns
    -------
    dict
        Sequence name to ``(x, y, z)`` float32, white matter near 1, fluid outside the brain.
    """
    extras = _structures(rng, anatomy)
    surface = np.exp(-anatomy.depth / 15)
    coarse, fine = (smooth_field(rng, anatomy.shape, anatomy.spacing, scale) for scale in (9.0, 2.5))
    images = {}
    for name in SEQUENCES:
        grey, fluid = rng.uniform(*GREY[name]), rng.uniform(*FLUID[name])
        texture = rng.uniform(*TEXTURE[name]) * rng.choice([-1, 1])
        image = anatomy.grey * np.float32(grey) + anatomy.white
        image *= 1 + np.float32(texture) * (0.75 * coarse + 0.65 * fine)
        image += anatomy.fluid * np.float32(fluid)
        for structure in extras:
            image += structure.get(name, 0.0)
        image *= 1 + np.float32(rng.uniform(*COIL)) * surface
        images[name] = np.maximum(image, 0.02).astype(np.float32)
    return images


def acquire(
    rng: np.random.Generator, image: np.ndarray, brain: np.ndarray, *, sequence: str, spacing: float
) -> np.ndarray:
    """Scan an ideal image: blur by slice thickness and resolution, bias field, Rician noise, the scanner's scale.

    Parameters
    ----------
    rng
        Source of randomness.
    image
        ``(x, y, z)`` float32, from `paint`.
    brain
        ``(x, y, z)`` bool.
    sequence
        One of `SEQUENCES`.
    spacing
        Voxel size in mm.

    Returns
    -------
    ndarray
        ``(x, y, z)`` int16, at least 1 inside the brain and 0 outside.
    """
    thickness, resolution = rng.uniform(*THICKNESS[sequence]), rng.uniform(0.8, 1.9)
    sigma = [np.sqrt(max(w**2 - spacing**2 / 2, 0)) / 2.355 / spacing for w in (resolution, resolution, thickness)]
    blurred = ndimage.gaussian_filter(image, sigma, truncate=3.0)
    spread = np.log(rng.uniform(*BIAS)) / 3.29
    bias = np.exp(np.float32(spread) * smooth_field(rng, image.shape, spacing, 45.0))[brain]
    noise = np.exp(rng.uniform(*np.log(NOISE[sequence])))
    real, imaginary = noise * rng.standard_normal((2, int(brain.sum())), dtype=np.float32)
    signal = np.hypot(blurred[brain] * bias + real, imaginary)
    scaled = np.zeros(image.shape, np.int16)
    scaled[brain] = np.clip(np.rint(signal * rng.uniform(250, 700)), 1, 32767)
    return scaled


def _structures(rng: np.random.Generator, anatomy: Anatomy) -> list[dict[str, np.ndarray]]:
    """Return what differs from the three tissues in every healthy brain, as amounts to add per sequence."""
    return [_caps(rng, anatomy), _regions(rng, anatomy), _choroid(rng, anatomy), _vessels(rng, anatomy)]


def _caps(rng: np.random.Generator, anatomy: Anatomy) -> dict[str, np.ndarray]:
    """Return bright white matter around the ventricles: caps on the horns, a thin rim, a haze behind."""
    size, width, rim = rng.uniform(*CAPS), rng.uniform(2.0, 6.5), rng.uniform(0.05, 0.45)
    haze, patchy = rng.uniform(0.0, 0.22), smooth_field(rng, anatomy.shape, anatomy.spacing, 9.0)
    outside = np.maximum(anatomy.wall, 0)
    horns = np.exp(-(((anatomy.mni_y - 33) / 13) ** 2)) + np.exp(-(((anatomy.mni_y + 42) / 15) ** 2))
    caps = size * (0.15 + 0.85 * horns) * np.exp(-((outside / width) ** 2)) * np.clip(1 + 0.5 * patchy, 0, 2)
    caps += rim * np.exp(-((outside / 1.5) ** 2))
    caps += (
        haze * np.clip(0.5 + patchy, 0, 1.5) * np.exp(-((outside / 25) ** 2)) / (1 + np.exp((anatomy.mni_y + 5) / 8))
    )
    caps *= anatomy.white
    return {"flair": caps, "t2": 0.8 * caps, "t1": -0.2 * caps, "t1ce": -0.2 * caps}


def _regions(rng: np.random.Generator, anatomy: Anatomy) -> dict[str, np.ndarray]:
    """Return insular and limbic cortex (bright on FLAIR), deep nuclei, and fluid that flows at the base."""
    x, y, z = np.abs(anatomy.mni_x), anatomy.mni_y, anatomy.mni_z
    limbic = np.zeros(anatomy.shape, np.float32)
    for (cx, cy, cz), width in (((38, 4, 0), 12), ((3, 24, 26), 14), ((25, -18, -16), 11), ((4, -35, 32), 13)):
        limbic += np.exp(-((x - cx) ** 2 + (y - cy) ** 2 + (z - cz) ** 2) / (2 * width**2))
    nuclei = np.exp(-(((x - 18) / 12) ** 2) - ((y - 2) / 20) ** 2 - ((z - 4) / 11) ** 2)
    bright, dark, flow = rng.uniform(0.08, 0.38), rng.uniform(0.0, 0.10), rng.uniform(0.0, 0.35)
    base = anatomy.fluid * flow / (1 + np.exp((z + 18) / 5))
    flair = anatomy.grey * (bright * limbic - dark * nuclei) + base
    return {"flair": flair, "t1": 0.10 * anatomy.grey * nuclei, "t2": -dark * anatomy.grey * nuclei}


def _choroid(rng: np.random.Generator, anatomy: Anatomy) -> dict[str, np.ndarray]:
    """Return the choroid plexus in the trigones: tissue-like tufts that take up contrast."""
    tuft = smooth_field(rng, anatomy.shape, anatomy.spacing, 3.0)
    size = rng.uniform(0.4, 1.0)
    x, y, z = np.abs(anatomy.mni_x), anatomy.mni_y, anatomy.mni_z
    place = np.exp(-(((x - 22) / 9) ** 2) - ((y + 38) / 10) ** 2 - ((z - 8) / 12) ** 2)
    tissue = size * place * np.clip(0.6 + tuft, 0, 1) * anatomy.fluid * np.clip(2 - anatomy.wall, 0, 1)
    return {"flair": tissue, "t1": 0.45 * tissue, "t1ce": 1.3 * tissue, "t2": -1.2 * tissue}


def _vessels(rng: np.random.Generator, anatomy: Anatomy) -> dict[str, np.ndarray]:
    """Return vessels, where two random fields are both zero, and the sagittal sinus: bright after contrast."""
    first, second = (smooth_field(rng, anatomy.shape, anatomy.spacing, 6.0) for _ in range(2))
    lines = np.exp(-(first**2 + second**2) / 0.05) * (0.25 + 0.75 * anatomy.fluid)
    # White matter has few vessels that can be seen.
    lines *= np.clip(1.2 - anatomy.white, 0, 1)
    sinus = np.exp(-((anatomy.mni_x / 3.5) ** 2)) * np.clip(1 - anatomy.depth / 5, 0, 1) * (anatomy.mni_z > -10)
    blood = np.clip(lines + sinus * anatomy.fluid, 0, 1) * anatomy.brain
    return {"t1ce": rng.uniform(0.7, 1.5) * blood, "t2": -0.9 * blood, "flair": -0.05 * blood, "t1": 0.1 * blood}
