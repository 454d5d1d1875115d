"""Lesions of several kinds, with exact masks: tumour, multiple sclerosis, stroke, cysts, textured tissue.

The ranges are the 10th to 90th percentile of what ``benchmarks/measure_real_ranges.py`` of the project prints for real
scans; a lesion's intensity is the median inside over the median of healthy tissue of the same scan.

- tumour: 36 people of ``lgg``: FLAIR 1.26 to 1.89, T1 0.60 to 1.03, T1 after contrast 0.65 to 0.99; spread inside
  0.16 to 0.46 on FLAIR; on the slice where it is largest it fills 5 to 20 % of the head, and it spans 22 to 52 % of
  the slices;
- acute stroke: 422 of the 700 slices of ``soop`` that have one: FLAIR 1.08 to 1.53, spread inside 0.11 to 0.34, 0.3 to
  15 % of the brain's area;
- multiple sclerosis: 2 people of ``ms``: FLAIR 1.40 of white matter in both, T1 0.66 and 0.80, T2 1.58, spread inside
  0.16 and 0.19; 1.3 and 50 ml in 25 and 60 spots whose median is 0.03 ml.

Volumes are set so that tumours and acute strokes fill a part of the brain's area on their largest slice as real ones
do: 9 to 20 % and 2 to 21 % (10th to 90th percentile of 60 phantoms). Old strokes, cysts and textured tissue occur in
none of these data sets with a mask. Their fluid lies in the range of fluid (``soop``, ``ms``) and above, the rim of an
old stroke in the range of a fresh one, and textured tissue has the mean of normal tissue and the spread of the strokes.
Infiltration and fresh strokes are drawn from the upper part of their FLAIR range, so that the intensity threshold
reaches an average precision like the one on real tumours. Necrosis, rims that enhance and the T2 of tumours and
strokes are not measured: no mask here tells them apart, or no T2 is there.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from uad_data.phantom.anatomy import Anatomy, displace, smooth_field
from uad_data.phantom.lesion_shapes import grow, one_side, pick_voxel, rough_distance, territory

Ranges = dict[str, tuple[float, float]]

VOLUME_ML: Ranges = {
    "tumour": (45.0, 250.0),
    "ms": (4.0, 50.0),
    "stroke_acute": (6.0, 160.0),
    "stroke_chronic": (5.0, 70.0),
    "cyst_dark": (4.0, 40.0),
    "textured": (8.0, 80.0),
}
"""Total volume of a person's lesion in ml."""

INTENSITY: dict[str, Ranges] = {
    "infiltration": {"flair": (1.40, 1.89), "t1": (0.60, 1.00), "t1ce": (0.65, 0.99), "t2": (1.4, 2.0)},
    "necrosis": {"flair": (0.55, 1.20), "t1": (0.40, 0.65), "t1ce": (0.40, 0.65), "t2": (1.8, 2.6)},
    "enhancing": {"flair": (1.30, 1.80), "t1": (0.70, 1.00), "t1ce": (1.45, 2.20), "t2": (1.1, 1.6)},
    "ms": {"flair": (1.22, 1.50), "t1": (0.66, 0.82), "t1ce": (0.70, 0.86), "t2": (1.35, 1.70)},
    "stroke": {"flair": (1.20, 1.53), "t1": (0.72, 0.95), "t1ce": (0.75, 1.10), "t2": (1.25, 1.70)},
    "cavity": {"flair": (0.12, 0.45), "t1": (0.15, 0.40), "t1ce": (0.18, 0.40), "t2": (2.2, 2.9)},
    "cyst": {"flair": (0.15, 0.75), "t1": (0.20, 0.70), "t1ce": (0.20, 0.70), "t2": (1.8, 2.8)},
    "textured": {"flair": (0.97, 1.06), "t1": (0.94, 1.03), "t1ce": (0.94, 1.03), "t2": (0.98, 1.08)},
}
"""Median of each part of a lesion over the median of healthy tissue."""


@dataclass(frozen=True)
class Part:
    """One part of a lesion.

    Attributes
    ----------
    label
        Its class in the mask.
    strength
        ``(x, y, z)`` float32: 0 outside, 1 where nothing of the tissue is left.
    keep
        Share of the contrast of the tissue below that stays visible, 0 to 1.
    intensity
        Per sequence, relative to the median of healthy tissue.
    grain
        ``(x, y, z)`` float32: relative deviations from that intensity.
    """

    label: int
    strength: np.ndarray
    keep: float
    intensity: dict[str, float]
    grain: np.ndarray


@dataclass(frozen=True)
class Lesion:
    """A person's lesion.

    Attributes
    ----------
    anatomy
        The person with tissue displaced by the lesion's mass.
    moved
        ``(x, y, z)`` bool: where the anatomy differs from the healthy one.
    parts
        Later ones lie over earlier ones.
    """

    anatomy: Anatomy
    moved: np.ndarray
    parts: tuple[Part, ...] = field(default=())

    @property
    def mask(self) -> np.ndarray:
        """``(x, y, z)`` uint8 classes, 0 where the lesion is not."""
        mask = np.zeros(self.anatomy.shape, np.uint8)
        for part in self.parts:
            mask[part.strength > 0] = part.label
        return mask


def draw_lesion(rng: np.random.Generator, anatomy: Anatomy, *, pathology: str, size: float) -> Lesion:
    """Draw a lesion.

    Parameters
    ----------
    rng
        Source of randomness.
    anatomy
        The healthy person.
    pathology
        ``"healthy"`` or a key of `VOLUME_ML`.
    size
        0 the smallest of its kind to 1 the largest, on a logarithmic scale of volume.

    Returns
    -------
    Lesion
        Without parts for ``"healthy"``.
    """
    nowhere = np.zeros(anatomy.shape, bool)
    if pathology == "healthy":
        return Lesion(anatomy, nowhere)
    smallest, largest = VOLUME_ML[pathology]
    return _KINDS[pathology](rng, anatomy, smallest * (largest / smallest) ** size)


def add_lesion(images: dict[str, np.ndarray], lesion: Lesion) -> dict[str, np.ndarray]:
    """Put the lesion into the images of its displaced anatomy.

    Parameters
    ----------
    images
        Sequence name to ``(x, y, z)`` float32, from `uad_data.phantom.contrast.paint`.
    lesion
        The lesion.

    Returns
    -------
    dict
        New images; they differ only where ``lesion.mask`` is not 0.
    """
    result = {}
    for name, image in images.items():
        reference = np.median(image[lesion.anatomy.tissue])
        for part in lesion.parts:
            target = part.intensity[name] * reference * (1 + part.grain) + part.keep * (image - reference)
            image = image + part.strength * (np.maximum(target, 0.03) - image)
        result[name] = image
    return result


def _part(
    rng: np.random.Generator,
    anatomy: Anatomy,
    depth: np.ndarray,
    kind: str,
    *,
    label: int,
    edge: float,
    keep: float = 0.0,
    grain: float = 0.0,
    scale: float = 5.0,
) -> Part:
    """Return a part that reaches full strength ``edge`` mm below its surface."""
    intensity = {name: float(rng.uniform(*limits)) for name, limits in INTENSITY[kind].items()}
    texture = np.float32(grain) * smooth_field(rng, anatomy.shape, anatomy.spacing, scale)
    strength = np.where(depth > 0, np.clip(0.35 + depth / edge, 0, 1), 0).astype(np.float32)
    return Part(label, strength, keep, intensity, texture)


def _tumour(rng: np.random.Generator, anatomy: Anatomy, ml: float) -> Lesion:
    """Grow along white matter and push the rest away; half have a rim that enhances around a necrotic core."""
    sites = (anatomy.white > 0.7) & (anatomy.depth > 12) & (anatomy.wall > 6) & (anatomy.mni_z > -15)
    centre = pick_voxel(rng, sites & (np.abs(anatomy.mni_x) > 14))
    radius = 10 * (0.75 * ml / np.pi) ** (1 / 3)
    push = rng.uniform(0.1, 0.35) * radius
    anatomy, moved = displace(anatomy, centre, 0.6 * radius, push, 18.0)
    distance = rough_distance(rng, anatomy, centre, coarse=3.5, fine=1.8, stretch=0.3) - 6.0 * anatomy.white
    depth = grow(distance, anatomy.tissue & one_side(anatomy, centre), ml * 1000 / anatomy.spacing**3)
    grain = rng.uniform(0.08, 0.2)
    parts = [_part(rng, anatomy, depth, "infiltration", label=2, edge=4.0, keep=0.35, grain=grain, scale=6.0)]
    if rng.random() < 0.5:
        solid = rough_distance(rng, anatomy, centre, coarse=2.0, fine=1.5, stretch=0.2)
        solid = grow(solid, depth > 0, rng.uniform(0.25, 0.5) * (depth > 0).sum())
        parts.append(_part(rng, anatomy, solid, "enhancing", label=3, edge=1.5, keep=0.1, grain=0.12))
        parts.append(_part(rng, anatomy, solid - rng.uniform(2.5, 5.0), "necrosis", label=1, edge=1.5, grain=0.15))
    return Lesion(anatomy, moved, tuple(parts))


def _ms(rng: np.random.Generator, anatomy: Anatomy, ml: float) -> Lesion:
    """Scatter spots over white matter, most of them at the ventricles and across their wall, some in cortex."""
    number = int(rng.integers(25, 61))
    weight = (
        anatomy.white * (8 * np.exp(-np.maximum(anatomy.wall, 0) / 7) + 0.3) * (anatomy.wall > 0) + 0.03 * anatomy.grey
    )
    weight = np.cumsum(
        np.where(anatomy.tissue & (anatomy.depth > 4) & (anatomy.mni_z > -40), weight, 0), dtype=np.float64
    )
    sites = np.searchsorted(weight, rng.random(number) * weight[-1])
    volumes = rng.lognormal(0.0, 1.5, number)
    radii = 10 * (0.75 * ml * volumes / volumes.sum() / np.pi) ** (1 / 3)
    axes = np.exp(rng.normal(0, 0.2, (number, 3)) + np.array([0.25, 0, 0]))
    depth = np.full(anatomy.shape, -9.0, np.float32)
    for site, r, a in zip(sites, radii, axes, strict=True):
        centre = np.unravel_index(site, anatomy.shape)
        reach = np.ceil(2.5 * r * a / anatomy.spacing).astype(int) + 1
        box = tuple(
            slice(max(c - k, 0), min(c + k + 1, n)) for c, k, n in zip(centre, reach, anatomy.shape, strict=True)
        )
        offset = [(g - c) * anatomy.spacing / s for g, c, s in zip(np.mgrid[box], centre, a, strict=True)]
        depth[box] = np.maximum(depth[box], r - np.sqrt(sum(o**2 for o in offset)))
        depth[centre] = np.maximum(depth[centre], 2.0)
    depth += np.clip(depth + 2, 0, 1) * smooth_field(rng, anatomy.shape, anatomy.spacing, 3.0)
    depth = np.where(anatomy.tissue, depth, -1.0)
    part = _part(rng, anatomy, depth, "ms", label=1, edge=1.5, keep=0.3, grain=rng.uniform(0.06, 0.12), scale=4.0)
    return Lesion(anatomy, np.zeros(anatomy.shape, bool), (part,))


def _stroke_acute(rng: np.random.Generator, anatomy: Anatomy, ml: float) -> Lesion:
    """Brighten a territory of grey and white matter unevenly."""
    depth = territory(rng, anatomy, ml, anatomy.tissue)
    grain = rng.uniform(0.08, 0.2)
    part = _part(rng, anatomy, depth, "stroke", label=1, edge=4.0, keep=0.7, grain=grain, scale=5.0)
    return Lesion(anatomy, np.zeros(anatomy.shape, bool), (part,))


def _stroke_chronic(rng: np.random.Generator, anatomy: Anatomy, ml: float) -> Lesion:
    """Replace a territory by a cavity of fluid (class 1) with a thin, patchy bright rim (class 2)."""
    depth = territory(rng, anatomy, ml, anatomy.brain)
    rim = np.where(anatomy.tissue, depth, -1.0)
    cavity = depth - rng.uniform(1.5, 4.0) - 1.2 * smooth_field(rng, anatomy.shape, anatomy.spacing, 6.0)
    parts = (
        _part(rng, anatomy, rim, "stroke", label=2, edge=3.0, keep=0.6, grain=0.1),
        _part(rng, anatomy, np.where(depth > 0, cavity, -1.0), "cavity", label=1, edge=2.0, keep=0.05, grain=0.1),
    )
    return Lesion(anatomy, np.zeros(anatomy.shape, bool), parts)


def _cyst_dark(rng: np.random.Generator, anatomy: Anatomy, ml: float) -> Lesion:
    """Place a smooth cavity of fluid or of protein, and push the tissue around it."""
    sites = anatomy.tissue & (anatomy.depth > 8) & (anatomy.wall > 5) & (anatomy.mni_z > -25)
    centre = pick_voxel(rng, sites & (np.abs(anatomy.mni_x) > 10))
    radius = 10 * (0.75 * ml / np.pi) ** (1 / 3)
    anatomy, moved = displace(anatomy, centre, radius, rng.uniform(0.1, 0.4) * radius, 14.0)
    distance = rough_distance(rng, anatomy, centre, coarse=1.2, fine=0.5, stretch=0.25)
    depth = grow(distance, one_side(anatomy, centre), ml * 1000 / anatomy.spacing**3)
    return Lesion(anatomy, moved, (_part(rng, anatomy, depth, "cyst", label=1, edge=2.0, grain=0.05),))


def _textured(rng: np.random.Generator, anatomy: Anatomy, ml: float) -> Lesion:
    """Replace the order of grey and white matter by a coarse texture of about the same mean."""
    depth = territory(rng, anatomy, ml, anatomy.tissue)
    grain = rng.uniform(0.10, 0.20)
    part = _part(rng, anatomy, depth, "textured", label=1, edge=4.0, keep=0.3, grain=grain, scale=2.4)
    return Lesion(anatomy, np.zeros(anatomy.shape, bool), (part,))


_KINDS: dict[str, Callable[[np.random.Generator, Anatomy, float], Lesion]] = {
    "tumour": _tumour,
    "ms": _ms,
    "stroke_acute": _stroke_acute,
    "stroke_chronic": _stroke_chronic,
    "cyst_dark": _cyst_dark,
    "textured": _textured,
}
