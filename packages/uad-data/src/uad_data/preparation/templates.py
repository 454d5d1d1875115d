"""The brain that others are aligned to: the one in nilearn's wheel, or the user's own."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from uad_data.errors import InputError
from uad_data.grid import Grid
from uad_data.readers import read_affine, read_labels, read_volume

BUILT_IN = "mni152"
"""Name of the template that needs no file: ICBM 2009a nonlinear symmetric, T1, brain only."""
# The wheel's brain falls off smoothly to 0; its voxels lie between 0 and 1.
_EDGE = 0.05


@dataclass(frozen=True, eq=False)
class Template:
    """A reference brain.

    Parameters
    ----------
    image : ndarray, shape (d, h, w), float32
        Intensities; 0 outside the brain for the built-in one.
    brain : ndarray, shape (d, h, w), bool
        The voxels of the brain.
    affine : ndarray, shape (4, 4), float64
        Maps voxel indices ``(i, j, k) = (w, h, d)`` to RAS mm.
    name : str
        What it was asked for by.
    """

    image: NDArray[np.float32]
    brain: NDArray[np.bool_]
    affine: NDArray[np.float64]
    name: str


def load_template(
    name_or_path: str | Path = BUILT_IN, *, brain: str | Path | None = None, spacing: float | None = None
) -> Template:
    """Load a template.

    Parameters
    ----------
    name_or_path : str or Path
        ``"mni152"``, read from nilearn's wheel without a network, or the path of a NIfTI file.
    brain : str or Path, optional
        For a file: its brain mask on the same grid. Without one, every voxel above 0 is brain, so that the file has
        to be skull-stripped.
    spacing : float, optional
        Voxel size in mm to resample to, the same along all axes. None keeps the template's own, 1 mm for
        ``"mni152"``.

    Returns
    -------
    Template

    Raises
    ------
    InputError
        An unknown name, a file that cannot be read, grids that differ, no brain, or a spacing that is not positive.

    Notes
    -----
    ``"mni152"``: V. Fonov et al., Unbiased average age-appropriate atlases for pediatric studies, NeuroImage 54, 2011.
    """
    if spacing is not None and not (np.isfinite(spacing) and spacing > 0):
        raise InputError(f"template spacing: expected a positive number of mm, found {spacing}")
    if str(name_or_path) == BUILT_IN:
        if brain is not None:
            raise InputError(f"template {BUILT_IN!r}: it brings its own brain mask; leave out {brain}")
        template = _built_in()
    else:
        template = _from_files(str(name_or_path), brain)
    return template if spacing is None else _resample(template, float(spacing))


@lru_cache(maxsize=1)
def _built_in() -> Template:
    """Read the wheel's T1 map at its own 1 mm."""
    # Imported here: it brings scikit-learn along, which takes longer than all the rest of the package.
    from nilearn.datasets import load_mni152_template

    loaded = load_mni152_template(resolution=1)
    image = np.ascontiguousarray(loaded.get_fdata(dtype=np.float32).transpose(2, 1, 0))
    brain = ndimage.binary_fill_holes(image > _EDGE)
    for array in (image, brain):
        array.flags.writeable = False
    return Template(image, brain, np.asarray(loaded.affine, np.float64), BUILT_IN)


def _from_files(path: str, brain: str | Path | None) -> Template:
    """Read the user's own pair."""
    if not path.lower().endswith((".nii", ".nii.gz")):
        raise InputError(f"template: expected {BUILT_IN!r} or the path of a NIfTI file, found {path!r}")
    image, affine = read_volume(path)
    if brain is None:
        mask = ndimage.binary_fill_holes(image > 0)
    else:
        labels = read_labels(brain)
        Grid(path, image.shape, affine).require(Grid(str(brain), labels.shape, read_affine(brain)))
        mask = labels > 0
    if not mask.any() or mask.mean() > 0.95:
        raise InputError(
            f"template {path}: expected a brain with background around it, found {mask.mean():.0%} of it brain; "
            "give a skull-stripped template or its brain mask"
        )
    return Template(image, mask, affine, path)


def _resample(template: Template, spacing: float) -> Template:
    """Resample to cubic voxels on the same field of view."""
    own = np.linalg.norm(template.affine[:3, :3], axis=0)
    if np.allclose(own, spacing):
        return template
    shape = np.maximum(1, np.ceil(np.array(template.image.shape)[::-1] * own / spacing - 1e-6).astype(int))
    step = spacing / own
    # The outer faces of the first voxels coincide.
    offset = (step - 1) / 2
    affine = template.affine.copy()
    affine[:3, :3] = template.affine[:3, :3] * step
    affine[:3, 3] = template.affine[:3, :3] @ offset + template.affine[:3, 3]

    def one(array: NDArray) -> NDArray[np.float32]:
        blurred = ndimage.gaussian_filter(array.astype(np.float32), np.maximum(step[::-1] - 1, 0) * 0.425)
        return ndimage.affine_transform(
            blurred, step[::-1], offset[::-1], tuple(shape[::-1]), order=1, mode="nearest", output=np.float32
        )

    return Template(one(template.image), one(template.brain) > 0.5, affine, template.name)
