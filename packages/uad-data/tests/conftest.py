"""Small scans on disk."""

import locale
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
def touch(tmp_path: Path) -> Callable[..., None]:
    """Make empty files below tmp_path."""

    def make(*names):
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()

    return make


@pytest.fixture
def write_text(tmp_path: Path) -> Callable[[str, str], Path]:
    """Write a text file, such as a table, below tmp_path."""

    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def write_series(tmp_path: Path) -> Callable[..., Path]:
    """Write a DICOM series below tmp_path: a stack of 8x7 slices from array (k, rows, columns), 2 mm apart."""
    itk = pytest.importorskip("SimpleITK")

    def write(
        folder,
        array=None,
        *,
        uid="1.2.3",
        description="CT Plain",
        modality="CT",
        patient="P1",
        study="1.2",
        date="20200102",
        number="3",
        origin=(-10.0, -20.0, 5.0),
        axes=((1, 0, 0), (0, 1, 0), (0, 0, 1)),
        step=(0.0, 0.0, 2.0),
        places=None,
        suffix=".dcm",
    ):
        path = tmp_path / folder
        path.mkdir(parents=True, exist_ok=True)
        if array is None:
            array = np.random.default_rng(0).integers(0, 1000, (4, 8, 7))
        tags = {
            "0008|0060": modality,
            "0008|103e": description,
            "0010|0020": patient,
            "0020|000d": study,
            "0020|000e": uid,
            "0008|0020": date,
            "0020|0011": number,
            "0020|0037": "\\".join(str(value) for axis in axes[:2] for value in axis),
        }
        if modality == "CT":
            tags |= {"0028|1052": "-1024", "0028|1053": "1"}
        for k, pixels in enumerate(array):
            image = itk.GetImageFromArray(np.asarray(pixels, np.int16))
            image.SetSpacing((0.5, 0.75))
            at = k if places is None else places[k]
            position = np.array(origin) + at * np.array(step)
            for tag, value in (tags | {"0020|0032": "\\".join(f"{value:.6f}" for value in position)}).items():
                image.SetMetaData(tag, value)
            image.SetMetaData("0020|0013", str(k + 1))
            image.SetMetaData("0008|0018", f"{uid}.{k + 1}")
            writer = itk.ImageFileWriter()
            writer.SetImageIO("GDCMImageIO")
            writer.KeepOriginalImageUIDOn()
            # Names run against the order of the slices: only their places count.
            writer.SetFileName(str(path / f"IM{len(array) - k:04d}{suffix}"))
            writer.Execute(image)
        return path

    # Writing DICOM leaves the process in the locale "C", where text files are read as ASCII.
    before = locale.setlocale(locale.LC_ALL)

    def write_and_restore(*args, **options) -> Path:
        try:
            return write(*args, **options)
        finally:
            locale.setlocale(locale.LC_ALL, before)

    return write_and_restore


@pytest.fixture
def mask() -> np.ndarray:
    """Give a NIfTI mask with one lesion voxel, for the fixtures' default shape."""
    labels = np.zeros((4, 5, 6), np.uint8)
    labels[1, 2, 3] = 1
    return labels
