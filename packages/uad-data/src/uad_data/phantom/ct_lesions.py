"""What a head CT shows: atrophy, bleeding, ischaemia, cavernoma, aneurysm, tumour, each with its exact mask.

The seven kinds are those of the thesis of A. Ravi Venkatakrisnan (TU München 2020, section 4.1). It does not say how
"intracranial bleeding" and "bleed" differ: here the first lies outside the brain's tissue (a subdural crescent, or
blood among the sulci), the second is a haematoma inside it. It calls cavernomas hypodense; textbooks call them iso- to
hyperdense with calcium in about half, and so they are here.

Hounsfield units, from textbooks of neuroradiology (Osborn, "Osborn's Brain"; Hofer, "CT Teaching Manual"), since no CT
with a lesion is at hand to be measured:

- fresh blood: haemoglobin that has clotted, 55 to 80; blood that flows, as in an aneurysm without contrast, 38 to 55;
- infarct: water of the swelling, 1 % more of which lowers tissue by about 2.5: 18 to 26 in the first days;
- oedema of white matter: 14 to 23; necrosis and cysts of a tumour: 8 to 18; its solid part: 28 to 48, by its cells;
- cavernoma: old blood and calcium, 45 to 65, its specks of calcium up to 130.

Masks. A lesion that replaces tissue is every voxel in which it replaces some. Atrophy replaces nothing: its mask is
where the share of fluid is at least `WIDENED` higher than in the same person without it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from uad_data.phantom.anatomy import Anatomy, carry, displace, smooth_field
from uad_data.phantom.lesion_shapes import grow, one_side, pick_voxel, rough_distance, territory

Range = tuple[float, float]

VOLUME_ML: dict[str, Range] = {
    "intracranial_bleeding": (12.0, 110.0),
    "ischaemia": (8.0, 160.0),
    "cavernoma": (0.6, 8.0),
    "aneurysm": (0.5, 8.0),
    "bleed": (5.0, 80.0),
    "tumour": (25.0, 180.0),
}
"""Volume of a lesion in ml."""

CT_PATHOLOGIES = ("healthy", "atrophy", *VOLUME_ML)
"""Names of the pathologies."""

HU: dict[str, Range] = {
    "clot": (55.0, 80.0),
    "thin_blood": (48.0, 65.0),
    "flowing_blood": (38.0, 55.0),
    "infarct": (18.0, 26.0),
    "oedema": (14.0, 23.0),
    "solid": (28.0, 48.0),
    "necrosis": (8.0, 18.0),
    "cavernoma": (45.0, 65.0),
    "calcium": (80.0, 130.0),
}
"""Hounsfield units of each part of a lesion."""

WIDENED = 0.25
"""Least gain in the share of fluid that counts as atrophy."""


@dataclass(frozen=True)
class CtPart:
    """One part of a lesion.

    Attributes
    ----------
    label
        Its class in the mask.
    strength
        ``(x, y, z)`` float32: 0 outside, 1 where nothing of the tissue is left.
    keep
        Share of the contrast of the tissue below that stays visible, 0 to 1.
    hu
        Its density.
    grain
        ``(x, y, z)`` float32: deviations from it in HU.
    """

    label: int
    strength: np.ndarray
    keep: float
    hu: float
    grain: np.ndarray


@dataclass(frozen=True)
class CtLesion:
    """A person's lesion.

    Attributes
    ----------
    anatomy
        The person, changed by it.
    moved
        ``(x, y, z)`` bool: where the anatomy differs from the healthy one.
    mask
        ``(x, y, z)`` uint8 classes. bleed: 1 blood, 2 oedema; tumour: 1 necrosis, 2 oedema, 3 solid; 1 for the others.
    parts
        Later ones lie over earlier ones.
    """

    anatomy: Anatomy
    moved: np.ndarray
    mask: np.ndarray
    parts: tuple[CtPart, ...] = ()


def draw_ct_lesion(rng: np.random.Generator, anatomy: Anatomy, *, pathology: str, size: float) -> CtLesion:
    """Draw a lesion.

    Parameters
    ----------
    rng
        Source of randomness.
    anatomy
        The healthy person.
    pathology
        One of `CT_PATHOLOGIES`.
    size
        0 the smallest of its kind to 1 the largest, on a logarithmic scale of volume; of atrophy the severity.

    Returns
    -------
    CtLesion
        With an empty mask for ``"healthy"``.
    """
    if pathology == "healthy":
        return CtLesion(anatomy, np.zeros(anatomy.shape, bool), np.zeros(anatomy.shape, np.uint8))
    if pathology == "atrophy":
        return _atrophy(rng, anatomy, size)
    smallest, largest = VOLUME_ML[pathology]
    changed, moved, parts = _KINDS[pathology](rng, anatomy, smallest * (largest / smallest) ** size)
    mask = np.zeros(anatomy.shape, np.uint8)
    for part in parts:
        mask[part.strength > 0] = part.label
    return CtLesion(changed, moved, mask, parts)


def add_ct_lesion(image: np.ndarray, lesion: CtLesion) -> np.ndarray:
    """Put the lesion into the image of its changed anatomy.

    Parameters
    ----------
    image
        ``(x, y, z)`` float32 in HU.
    lesion
        The lesion.

    Returns
    -------
    ndarray
        A new image; it differs only where ``lesion.mask`` is not 0.
    """
    reference = np.median(image[lesion.anatomy.tissue])
    for part in lesion.parts:
        target = part.hu + part.grain + part.keep * (image - reference)
        image = image + part.strength * (target - image)
    return image


Drawn = tuple[Anatomy, np.ndarray, tuple[CtPart, ...]]


def _part(
    rng: np.random.Generator,
    anatomy: Anatomy,
    depth: np.ndarray,
    kind: str,
    *,
    label: int = 1,
    edge: float,
    keep: float = 0.0,
    grain: float = 2.0,
    scale: float = 5.0,
) -> CtPart:
    """Return a part that reaches full strength ``edge`` mm below its surface."""
    texture = np.float32(grain) * smooth_field(rng, anatomy.shape, anatomy.spacing, scale)
    strength = np.where(depth > 0, np.clip(0.35 + depth / edge, 0, 1), 0).astype(np.float32)
    return CtPart(label, strength, keep, float(rng.uniform(*HU[kind])), texture)


def _voxels(anatomy: Anatomy, ml: float) -> float:
    """Count the voxels of a volume."""
    return ml * 1000 / anatomy.spacing**3


def _ball(ml: float) -> float:
    """Give the radius in mm of a ball of a volume."""
    return float(10 * (0.75 * ml / np.pi) ** (1 / 3))


def _atrophy(rng: np.random.Generator, anatomy: Anatomy, severity: float) -> CtLesion:
    """Widen ventricles and sulci, everywhere or most at the front, at the back or in the temporal lobes."""
    towards = np.array([(0, 0, 0), (0, 1, 0.2), (0, -1, 0.3), (0, 0.3, -1)])[rng.integers(4)]
    place = towards[1] * (anatomy.mni_y + 15) + towards[2] * (anatomy.mni_z - 5)
    region = 0.3 + 0.7 / (1 + np.exp(-place / 10)) if towards.any() else np.ones(anatomy.shape)
    region = (region * np.clip(1 + 0.25 * smooth_field(rng, anatomy.shape, anatomy.spacing, 20.0), 0, 2)).astype(
        np.float32
    )
    outside = np.maximum(anatomy.wall, 0)
    flow = (3.0 + 5.0 * severity) * region * np.exp(-((outside / 14.0) ** 2))
    # As when the person was drawn: beyond the middle of a narrow horn lies the other side.
    flow = np.where(anatomy.brain, np.minimum(flow, outside + 1.5), 0)
    zone = flow > 0.05
    wall = ndimage.gaussian_filter(np.minimum(anatomy.wall, 40), 2.0 / anatomy.spacing)
    normal = np.stack(np.gradient(wall, anatomy.spacing))
    grid = np.indices(anatomy.shape, dtype=np.float32)
    wider = carry(anatomy, zone, (grid - flow / anatomy.spacing * normal)[:, zone])
    open_space = ndimage.gaussian_filter(wider.fluid, 2.2 / anatomy.spacing)
    # Fluid spreads from where it is; the brain stem and what lies below keep theirs.
    spread = np.clip((0.5 + 0.9 * severity) * region * open_space, 0, 1) / (1 + np.exp(-(anatomy.mni_z + 32) / 5))
    spread = np.where(anatomy.brain, spread, 0).astype(np.float32)
    grey, white = wider.grey * (1 - spread), wider.white * (1 - spread)
    values = {name: getattr(wider, name) for name in ("brain", "wall", "depth", "mni_x", "mni_y", "mni_z", "spacing")}
    shrunk = Anatomy(grey=grey, white=white, fluid=1 - grey - white, **values)
    mask = anatomy.brain & (shrunk.fluid - anatomy.fluid >= WIDENED)
    return CtLesion(shrunk, zone | (spread > 0), mask.astype(np.uint8))


def _intracranial_bleeding(rng: np.random.Generator, anatomy: Anatomy, ml: float) -> Drawn:
    """Lay blood under the skull of one side, or among the sulci around a point."""
    if rng.random() < 0.5:
        return _subdural(rng, anatomy, ml)
    sites = (anatomy.fluid > 0.7) & anatomy.brain & (anatomy.wall > 8) & (anatomy.mni_z > -35)
    distance = rough_distance(rng, anatomy, pick_voxel(rng, sites), coarse=5.0, fine=1.0, stretch=0.3)
    inside = anatomy.brain & (anatomy.wall > 3) & (anatomy.fluid > 0.4)
    count = int(min(_voxels(anatomy, ml), inside.sum() - 1))
    reached = inside & (distance < np.partition(distance[inside], count)[count])
    strength = np.where(reached, anatomy.fluid, 0)
    texture = 3.0 * smooth_field(rng, anatomy.shape, anatomy.spacing, 5.0)
    part = CtPart(1, strength.astype(np.float32), 0.0, float(rng.uniform(*HU["thin_blood"])), texture)
    return anatomy, np.zeros(anatomy.shape, bool), (part,)


def _subdural(rng: np.random.Generator, anatomy: Anatomy, ml: float) -> Drawn:
    """Lay a crescent under the skull and push the hemisphere away from it."""
    side, forward, upward = rng.choice([-1.0, 1.0]), rng.uniform(-25, 35), rng.uniform(0, 35)
    x, y, z = side * anatomy.mni_x, anatomy.mni_y - forward, anatomy.mni_z - upward
    beside = np.clip((x - 8) / 20, 0, 1) * np.exp(-((y / 50) ** 2) - (z / 38) ** 2)
    beside *= 1 + 0.15 * smooth_field(rng, anatomy.shape, anatomy.spacing, 12.0)
    allowed = anatomy.brain & (beside > 0.05)
    # The thickness that gives the volume: a voxel is filled where its depth below the skull is less than that.
    ratio = np.where(allowed, anatomy.depth / np.maximum(beside, 0.05), np.inf)
    count = int(min(_voxels(anatomy, ml), allowed.sum() - 1))
    thickness = np.float32(np.partition(ratio[allowed], count)[count]) * beside
    inward = np.stack(np.gradient(ndimage.gaussian_filter(anatomy.depth, 2.0 / anatomy.spacing), anatomy.spacing))
    push = np.where(anatomy.brain, 0.8 * thickness * np.exp(-((np.maximum(anatomy.depth, 0) / 35) ** 2)), 0)
    zone = push > 0.05
    grid = np.indices(anatomy.shape, dtype=np.float32)
    moved = carry(anatomy, zone, (grid - push / anatomy.spacing * inward)[:, zone])
    depth = np.where(allowed, thickness - anatomy.depth, -1.0)
    part = _part(rng, anatomy, depth, "clot", edge=1.5, grain=3.0)
    return moved, zone, (part,)


def _ischaemia(rng: np.random.Generator, anatomy: Anatomy, ml: float) -> Drawn:
    """Darken a territory in which grey and white matter can hardly be told apart."""
    depth = territory(rng, anatomy, ml, anatomy.tissue)
    part = _part(rng, anatomy, depth, "infarct", edge=4.0, keep=rng.uniform(0.2, 0.6), grain=1.5)
    return anatomy, np.zeros(anatomy.shape, bool), (part,)


def _cavernoma(rng: np.random.Generator, anatomy: Anatomy, ml: float) -> Drawn:
    """Place a lobulated knot without mass effect; half hold specks of calcium."""
    sites = anatomy.tissue & (anatomy.depth > 8) & (anatomy.wall > 4) & (anatomy.mni_z > -45)
    distance = rough_distance(rng, anatomy, pick_voxel(rng, sites), coarse=1.0, fine=1.2, stretch=0.2)
    depth = grow(distance, anatomy.tissue, _voxels(anatomy, ml))
    calcified = rng.random() < 0.5
    specks = depth - 0.3 * _ball(ml) - 1.5 * np.abs(smooth_field(rng, anatomy.shape, anatomy.spacing, 3.0))
    knot = _part(rng, anatomy, depth, "cavernoma", edge=1.5, grain=6.0, scale=3.0)
    calcium = _part(rng, anatomy, np.where(depth > 0, specks, -1.0), "calcium", edge=1.5, grain=10.0, scale=2.5)
    return anatomy, np.zeros(anatomy.shape, bool), (knot, calcium) if calcified else (knot,)


def _aneurysm(rng: np.random.Generator, anatomy: Anatomy, ml: float) -> Drawn:
    """Blow up an artery at the base of the brain."""
    place = [(0, 18, -12), (16, 2, -18), (-16, 2, -18), (30, 2, -16), (-30, 2, -16), (0, -14, -22)][rng.integers(6)]
    towards = (anatomy.mni_x - place[0]) ** 2 + (anatomy.mni_y - place[1]) ** 2 + (anatomy.mni_z - place[2]) ** 2
    centre = np.array(np.unravel_index(np.where(anatomy.brain, towards, np.inf).argmin(), anatomy.shape), float)
    radius = _ball(ml)
    anatomy, moved = displace(anatomy, centre, radius, 0.5 * radius, 8.0)
    distance = rough_distance(rng, anatomy, centre, coarse=0.6, fine=0.3, stretch=0.15)
    depth = grow(distance, anatomy.brain, _voxels(anatomy, ml))
    return anatomy, moved, (_part(rng, anatomy, depth, "flowing_blood", edge=1.0, grain=1.0),)


def _bleed(rng: np.random.Generator, anatomy: Anatomy, ml: float) -> Drawn:
    """Place a haematoma with a thin rim of oedema; it pushes tissue aside."""
    sites = anatomy.tissue & (anatomy.depth > 10) & (anatomy.mni_z > -20) & (np.abs(anatomy.mni_x) > 8)
    centre = pick_voxel(rng, sites)
    radius = _ball(ml)
    anatomy, moved = displace(anatomy, centre, radius, rng.uniform(0.15, 0.4) * radius, 15.0)
    distance = rough_distance(rng, anatomy, centre, coarse=2.5, fine=1.2, stretch=0.3)
    rim = rng.uniform(2.0, 6.0)
    allowed = anatomy.tissue & one_side(anatomy, centre)
    depth = grow(distance, allowed, _voxels(anatomy, ml * (1 + rim / radius) ** 3))
    parts = (
        _part(rng, anatomy, depth, "oedema", label=2, edge=2.5, keep=0.5),
        _part(rng, anatomy, np.where(depth > 0, depth - rim, -1.0), "clot", edge=1.5, grain=4.0),
    )
    return anatomy, moved, parts


def _tumour(rng: np.random.Generator, anatomy: Anatomy, ml: float) -> Drawn:
    """Grow a solid mass with a necrotic core in oedema of white matter, and push the rest away."""
    sites = (anatomy.white > 0.7) & (anatomy.depth > 12) & (anatomy.wall > 6) & (anatomy.mni_z > -15)
    centre = pick_voxel(rng, sites & (np.abs(anatomy.mni_x) > 14))
    radius = _ball(ml)
    anatomy, moved = displace(anatomy, centre, 0.6 * radius, rng.uniform(0.1, 0.35) * radius, 18.0)
    distance = rough_distance(rng, anatomy, centre, coarse=3.5, fine=1.8, stretch=0.3) - 6.0 * anatomy.white
    depth = grow(distance, anatomy.tissue & one_side(anatomy, centre), _voxels(anatomy, ml))
    solid = rough_distance(rng, anatomy, centre, coarse=2.0, fine=1.5, stretch=0.2)
    solid = grow(solid, depth > 0, rng.uniform(0.25, 0.6) * (depth > 0).sum())
    core = np.where(solid > 0, solid - rng.uniform(3.0, 7.0), -1.0)
    parts = (
        _part(rng, anatomy, depth, "oedema", label=2, edge=4.0, keep=0.4),
        _part(rng, anatomy, solid, "solid", label=3, edge=1.5, keep=0.1, grain=4.0),
        _part(rng, anatomy, core, "necrosis", edge=1.5, grain=2.0),
    )
    return anatomy, moved, parts


_KINDS: dict[str, Callable[[np.random.Generator, Anatomy, float], Drawn]] = {
    "intracranial_bleeding": _intracranial_bleeding,
    "ischaemia": _ischaemia,
    "cavernoma": _cavernoma,
    "aneurysm": _aneurysm,
    "bleed": _bleed,
    "tumour": _tumour,
}
