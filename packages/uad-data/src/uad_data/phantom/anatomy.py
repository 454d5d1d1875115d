"""A person's brain: the ICBM 2009a atlas, deformed and refolded until two people's gyri and ventricles differ.

Axes are ``(x, y, z)`` in RAS order throughout the phantom; lengths are in mm. The grey-matter, white-matter and T1
maps are the ones in nilearn's wheel (V. Fonov et al., NeuroImage 54, 2011); fluid is what they leave of the brain.
"""

from dataclasses import dataclass, fields, replace
from functools import lru_cache

import numpy as np
from scipy import ndimage, sparse

from uad_data.phantom.trilinear import sample

EXTENT = (164.0, 202.0, 176.0)
"""Size of the field of view in mm: the atlas and room for the largest, turned head."""
CENTRE = (0.0, -16.0, 6.0)
"""MNI coordinates in the middle of the field of view."""
_PAD = 8
_UNMOVED = ("brain", "depth", "spacing")


@dataclass(frozen=True)
class Atlas:
    """Maps in atlas space at 1 mm, cropped to the brain.

    Attributes
    ----------
    grey, white, brain
        ``(x, y, z)`` fractions, 0 to 1.
    near
        ``(x, y, z)`` bool, the brain and 3 mm around it.
    wall
        ``(x, y, z)`` signed distance in mm to the wall of the ventricles, negative inside.
    depth
        ``(x, y, z)`` distance in mm to the outer surface of the brain.
    normal
        ``(3, x, y, z)`` direction away from the ventricles, smooth.
    origin
        MNI coordinates of voxel (0, 0, 0).
    """

    grey: np.ndarray
    white: np.ndarray
    brain: np.ndarray
    near: np.ndarray
    wall: np.ndarray
    depth: np.ndarray
    normal: np.ndarray
    origin: np.ndarray


@dataclass(frozen=True)
class Anatomy:
    """One person's tissue on the scan's grid, every array ``(x, y, z)`` float32.

    Attributes
    ----------
    grey, white, fluid
        Fractions that sum to 1 in every voxel; all is fluid outside the brain.
    brain
        True inside the brain.
    wall, depth
        Distances in mm, see `Atlas`.
    mni_x, mni_y, mni_z
        MNI coordinates of the tissue in each voxel.
    spacing
        Voxel size in mm.
    """

    grey: np.ndarray
    white: np.ndarray
    fluid: np.ndarray
    brain: np.ndarray
    wall: np.ndarray
    depth: np.ndarray
    mni_x: np.ndarray
    mni_y: np.ndarray
    mni_z: np.ndarray
    spacing: float

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the grid."""
        return self.grey.shape

    @property
    def tissue(self) -> np.ndarray:
        """True where at least half of a brain voxel is grey or white matter."""
        return self.brain & (self.fluid < 0.5)


def grid_shape(spacing: float) -> tuple[int, ...]:
    """Return the number of voxels per axis of the field of view."""
    return tuple(int(np.ceil(e / spacing)) for e in EXTENT)


def grid_affine(spacing: float) -> np.ndarray:
    """Return the ``(4, 4)`` affine from voxel to MNI-like RAS mm."""
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = [c - (n - 1) * spacing / 2 for c, n in zip(CENTRE, grid_shape(spacing), strict=True)]
    return affine


def smooth_field(rng: np.random.Generator, shape: tuple[int, ...], spacing: float, scale: float) -> np.ndarray:
    """Return a smooth random field of mean 0 and standard deviation 1.

    Parameters
    ----------
    rng
        Source of randomness; the number of draws does not depend on the spacing.
    shape
        Voxels per axis.
    spacing, scale
        Voxel size and standard deviation of the Gaussian bumps in mm. Bumps narrower than a voxel alias.

    Returns
    -------
    ndarray
        ``shape`` float32.
    """
    field = rng.standard_normal([int(extent / scale) + 3 for extent in EXTENT]).astype(np.float32)
    for extent, n in zip(EXTENT, shape, strict=True):
        centres = scale * (np.arange(int(extent / scale) + 3) - 1)
        bump = np.exp(-0.5 * ((np.arange(n)[:, None] * spacing - centres) / scale) ** 2)
        bump = np.where(bump > 1e-4, bump, 0) / np.sqrt((bump**2).sum(1, keepdims=True))
        # Sparse products, not BLAS: the same bits whatever the number of threads. Each turns the axes by one.
        rest = field.shape[1:]
        field = (sparse.csr_array(bump.astype(np.float32)) @ field.reshape(len(field), -1)).T.reshape(*rest, n)
    return field


@lru_cache(maxsize=4)
def load_atlas(spacing: float) -> Atlas:
    """Read the atlas, blurred a little when the voxels of the scan are much larger than its own.

    Parameters
    ----------
    spacing
        Voxel size of the scan in mm.

    Returns
    -------
    Atlas
        Read from nilearn's wheel, without a network.
    """
    atlas, blur = _sharp_atlas(), 0.35 * (spacing - 2.0)
    if blur <= 0:
        return atlas
    blurred = {name: ndimage.gaussian_filter(getattr(atlas, name), blur) for name in ("grey", "white", "brain")}
    return replace(atlas, **blurred)


@lru_cache(maxsize=1)
def _sharp_atlas() -> Atlas:
    """Read the maps and find the ventricles: the largest space without tissue far below the surface."""
    # Imported here: it brings scikit-learn along, which takes longer than all the rest of the package.
    from nilearn.datasets import load_mni152_gm_template, load_mni152_template, load_mni152_wm_template

    image = load_mni152_template(resolution=1)
    loaders = (load_mni152_template, load_mni152_gm_template, load_mni152_wm_template)
    t1, grey, white = (np.pad(load(resolution=1).get_fdata(dtype=np.float32), _PAD) for load in loaders)
    # An odd number of voxels per axis: every other one then ends on the last.
    found = ndimage.find_objects((t1 > 0.05).astype(np.uint8))[0]
    box = tuple(slice(s.start - 4, s.stop + 4 + (s.stop - s.start + 1) % 2) for s in found)
    grey, white = (np.ascontiguousarray(each[box]) for each in (grey, white))
    outer, _ = ndimage.label(t1[box] <= 0.05)
    brain = outer != outer[0, 0, 0]
    depth = _distance(brain)
    open_space, _ = ndimage.label(ndimage.binary_opening((grey + white < 0.5) & (depth > 22)))
    ventricle = open_space == np.bincount(open_space.ravel())[1:].argmax() + 1
    wall = _distance(~ventricle) - _distance(ventricle)
    normal = np.stack(np.gradient(ndimage.gaussian_filter(wall, 2.0)))
    near = ndimage.maximum_filter(brain, 7)
    origin = image.affine[:3, 3] + [s.start - _PAD for s in box]
    return Atlas(grey, white, brain.astype(np.float32), near, wall, depth, normal, origin)


def _distance(mask: np.ndarray) -> np.ndarray:
    """Return the distance in mm to where the mask is False, computed on every other voxel of 1 mm."""
    values = ndimage.distance_transform_edt(mask[::2, ::2, ::2], sampling=2.0).astype(np.float32)
    for axis, n in enumerate(mask.shape):
        coarse = np.moveaxis(values, axis, 0)
        fine = np.empty((n, *coarse.shape[1:]), np.float32)
        fine[::2], fine[1::2] = coarse, (coarse[1:] + coarse[:-1]) / 2
        values = np.moveaxis(fine, 0, axis)
    return np.ascontiguousarray(values)


def build_anatomy(rng: np.random.Generator, *, spacing: float) -> Anatomy:
    """Draw a person.

    Parameters
    ----------
    rng
        Source of randomness.
    spacing
        Voxel size in mm, 1 to 8.

    Returns
    -------
    Anatomy
        With a head turned up to about 5 degrees, brain size ±6 % per axis, ventricles from narrow to wide, sulci and
        outer fluid from tight to atrophied, and folds of this person's own.

    Notes
    -----
    The fluid that the ranges give, 10 to 29 % of the brain's area (10th to 90th percentile), is what 700 FLAIR slices
    of ``soop`` show; brain volume varies as in 30 people of ``ixi`` (1229 to 1577 ml). ``measure_real_ranges.py`` in
    the project's benchmarks measures both.
    """
    atlas, shape = load_atlas(spacing), grid_shape(spacing)
    age = rng.beta(1.5, 1.5)
    inside, points = _deform(rng, atlas, shape, spacing, ventricles=rng.uniform(-1.5, 2.0) + 5.0 * age)
    grey, white, brain, wall, depth = sample((atlas.grey, atlas.white, atlas.brain, atlas.wall, atlas.depth), points)
    mni = points + atlas.origin.astype(np.float32)[:, None]
    folds = _folds(rng, inside, depth, mni, spacing)
    grey, white = _refold(_sharpen(grey, white), folds, openness=rng.uniform(0.4, 0.7) + 0.3 * age)
    patchy = np.clip(1 + 0.7 * smooth_field(rng, shape, spacing, 14.0)[inside], 0.1, 2)
    shrunk = np.clip(1.1 - depth / ((0.8 + 4.5 * age) * patchy + 0.5), 0, 1) * np.clip(wall / 8, 0, 1)
    grey, white = grey * (1 - shrunk), white * (1 - shrunk)
    return Anatomy(
        grey=_fill(inside, grey, 0),
        white=_fill(inside, white, 0),
        fluid=_fill(inside, 1 - grey - white, 1),
        brain=_fill(inside, brain > 0.5, False),
        wall=_fill(inside, wall, 99),
        depth=_fill(inside, depth, 0),
        mni_x=_fill(inside, mni[0], 0),
        mni_y=_fill(inside, mni[1], 0),
        mni_z=_fill(inside, mni[2], 0),
        spacing=spacing,
    )


def _fill(inside: np.ndarray, values: np.ndarray, outside: float) -> np.ndarray:
    """Put the values of the voxels inside back on the grid."""
    volume = np.full(inside.shape, outside, values.dtype)
    volume[inside] = values
    return volume


def displace(
    anatomy: Anatomy, centre: np.ndarray, radius: float, push: float, width: float
) -> tuple[Anatomy, np.ndarray]:
    """Push tissue away from a sphere, as a growing mass does.

    Parameters
    ----------
    anatomy
        The person without the mass.
    centre
        ``(3,)`` in voxels.
    radius, push, width
        Radius of the mass, largest displacement and reach of the displacement beyond the radius, mm.

    Returns
    -------
    Anatomy
        The displaced person; the brain mask does not change (the skull is rigid).
    ndarray
        ``(x, y, z)`` bool, the zone in which anything moved.
    """
    grid = np.indices(anatomy.shape, dtype=np.float32)
    offset = grid - centre[:, None, None, None].astype(np.float32)
    distance = np.sqrt((offset**2).sum(0)) * anatomy.spacing
    reach = push * np.exp(-((np.maximum(distance - radius, 0) / width) ** 2)) * np.minimum(distance / radius, 1)
    reach *= np.clip(anatomy.depth / 8.0, 0, 1)
    zone = (reach > 0.05) & anatomy.brain
    source = (grid - offset / np.maximum(distance, 1e-3) * reach)[:, zone]
    return carry(anatomy, zone, source), zone


def carry(anatomy: Anatomy, zone: np.ndarray, source: np.ndarray) -> Anatomy:
    """Move tissue inside the skull.

    Parameters
    ----------
    anatomy
        The person.
    zone
        ``(x, y, z)`` bool, where something else comes to lie.
    source
        ``(3, n)`` voxel coordinates, one per voxel of the zone: where its tissue was.

    Returns
    -------
    Anatomy
        The moved person; brain mask and depth below the brain's surface do not change.
    """
    moving = {f.name: getattr(anatomy, f.name).copy() for f in fields(Anatomy) if f.name not in _UNMOVED}
    for values, tissue in zip(moving.values(), sample(tuple(moving.values()), source), strict=True):
        values[zone] = tissue
    return replace(anatomy, **moving)


def _deform(
    rng: np.random.Generator, atlas: Atlas, shape: tuple[int, ...], spacing: float, *, ventricles: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the voxels near the brain, ``(x, y, z)`` bool, and their atlas voxel coordinates ``(3, n)``."""
    coordinates = _place(rng, atlas, shape, spacing)
    for scale, size in ((32.0, 2.5), (15.0, 1.3)):
        coordinates += np.stack([size * smooth_field(rng, shape, spacing, scale) for _ in range(3)])
    nearest = np.rint(coordinates).astype(np.int32)
    limits = np.array(atlas.brain.shape)[:, None, None, None] - 1
    inside = ((nearest >= 0) & (nearest <= limits)).all(0)
    inside[inside] = atlas.near[tuple(nearest[:, inside])]
    points = coordinates[:, inside]
    wall, depth = sample((atlas.wall, atlas.depth), points)
    flow = ventricles * np.exp(-((np.maximum(wall, 0) / 14.0) ** 2))
    flow *= 1 + 0.25 * smooth_field(rng, shape, spacing, 25.0)[inside]
    # No deeper than 1.5 mm behind the wall: beyond the middle of a narrow horn lies the other side.
    flow = np.minimum(flow, np.maximum(wall, 0) + 1.5)
    points -= flow * np.stack(sample(tuple(atlas.normal), points))
    fine = np.where(depth < 18, 1.3 * np.clip(depth / 6, 0.3, 1), 0.7).astype(np.float32)
    return inside, points + np.stack([fine * smooth_field(rng, shape, spacing, 7.0)[inside] for _ in range(3)])


def _place(rng: np.random.Generator, atlas: Atlas, shape: tuple[int, ...], spacing: float) -> np.ndarray:
    """Return atlas voxel coordinates ``(3, x, y, z)`` of a head of random size that is turned and moved a little."""
    # The atlas is larger than most people: 1.9 l inside the skull.
    scales = 1.05 + rng.normal(0, 0.03, 3).clip(-0.06, 0.06)
    turn = np.eye(3)
    for angle, (i, j) in zip(np.deg2rad(rng.normal(0, 2.2, 3).clip(-5, 5)), ((1, 2), (0, 2), (0, 1)), strict=True):
        step = np.eye(3)
        step[[i, i, j, j], [i, j, i, j]] = np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)
        turn = np.einsum("ij,jk->ik", turn, step)
    matrix = (turn * scales * spacing).astype(np.float32)
    shift = (np.array(CENTRE) + rng.normal(0, 2.0, 3) - atlas.origin).astype(np.float32)
    x, y, z = (np.arange(n, dtype=np.float32) - (n - 1) / 2 for n in shape)
    return np.stack(
        [m[0] * x[:, None, None] + m[1] * y[:, None] + m[2] * z + s for m, s in zip(matrix, shift, strict=True)]
    ).astype(np.float32)


def _sharpen(grey: np.ndarray, white: np.ndarray, power: float = 1.8) -> tuple[np.ndarray, np.ndarray]:
    """Undo part of the blur that averaging 152 people left in the fractions."""
    grey, white, fluid = (np.clip(p, 0, 1) ** power for p in (grey, white, 1 - grey - white))
    total = np.maximum(grey + white + fluid, 1e-6)
    return grey / total, white / total


def _folds(
    rng: np.random.Generator, inside: np.ndarray, depth: np.ndarray, mni: np.ndarray, spacing: float
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Draw sulci of the person's own: sheets near the surface of the cerebrum on which a random field is zero.

    Each is a pair for the voxels inside: distance to the sheet in mm, and how much of a sulcus there is, 0 to 1.
    """
    bottom = 16.0 + 4.0 * smooth_field(rng, inside.shape, spacing, 12.0)[inside]
    cerebrum = 1 / (1 + np.exp((-mni[2] - 14 - 0.35 * np.clip(mni[1] + 40, 0, 60)) / 2.0))
    folds = []
    # Sheets stand nearly upright on the surface: the field changes little towards the middle of the brain.
    middle = (np.array(inside.shape, np.float32)[:, None] - 1) / 2
    offset = np.stack(np.nonzero(inside)).astype(np.float32) - middle
    outward = offset * (70 / spacing / np.maximum(np.sqrt((offset**2).sum(0)), 1)) ** 0.7 + middle
    for scale in (7.5, 5.0):
        field = smooth_field(rng, inside.shape, spacing, scale)
        steepness = np.sqrt(sum(g**2 for g in np.gradient(field, spacing)))
        at, slope = sample((field, steepness), outward)
        distance = np.abs(at) / np.maximum(slope, 0.4 / scale)
        folds.append((distance, np.clip((bottom - depth) / 5.0, 0, 1) * cerebrum))
        bottom = bottom - 4.0
    return folds


def _refold(
    fractions: tuple[np.ndarray, np.ndarray], folds: list[tuple[np.ndarray, np.ndarray]], *, openness: float
) -> tuple[np.ndarray, np.ndarray]:
    """Line the sulci with cortex and leave them to the fluid."""
    grey, white = fractions
    for distance, reach in folds:
        lining, gap = np.exp(-((distance / 3.3) ** 4)) * reach, np.exp(-((distance / 1.5) ** 2)) * reach * openness
        grey, white = grey + white * lining, white * (1 - lining)
        grey = grey * (1 - gap)
    return grey, white
