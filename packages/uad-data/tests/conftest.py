"""Small scans on disk."""

from collections.abc import Callable
from pathlib import Path

import imageio.v3 as iio
import nibabel as nib
import numpy as np
import pytest


@pytest.fixture
def write_nifti(tmp_path: Path) -> Callable[..., Path]:
    """Write a NIfTI file below tmp_path; random voxels unless told."""

    def write(name, array=None, affine=None, *, shape=(4, 5, 6)):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if array is None:
            array = np.random.default_rng(0).random(shape, np.float32)
        nib.save(nib.Nifti1Image(array, np.eye(4) if affine is None else affine), path)
        return path

    return write


@pytest.fixture
def write_picture(tmp_path: Path) -> Callable[..., Path]:
    """Write a picture below tmp_path; random 8-bit pixels unless told."""

    def write(name, array=None, *, shape=(5, 6), seed=0):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if array is None:
            array = np.random.default_rng(seed).integers(0, 255, shape, np.uint8)
        iio.imwrite(path, array, plugin="tifffile" if path.suffix == ".tif" else "pillow")
        return path

    return write


@pytest.fixture
def mask() -> np.ndarray:
    """Give a NIfTI mask with one lesion voxel, for the fixtures' default shape."""
    labels = np.zeros((4, 5, 6), np.uint8)
    labels[1, 2, 3] = 1
    return labels
