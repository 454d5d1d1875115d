"""Real scans; their folder is named by the variable UAD_REAL_DATA."""

import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from uad_data.layouts import index_layout
from uad_data.readers import read_labels, read_volume, write_like

pytestmark = pytest.mark.skipif("UAD_REAL_DATA" not in os.environ, reason="UAD_REAL_DATA is not set")


@pytest.fixture
def real() -> Path:
    return Path(os.environ["UAD_REAL_DATA"])


def test_lgg(real, tmp_path):
    cohort = index_layout("kaggle_3m", real / "lgg/kaggle_3m", tmp_path / "lgg.csv")
    assert (len(cohort), cohort.modalities) == (36, ("t1", "flair", "t1ce"))
    assert cohort.table["split"].value_counts().to_dict() == {"train": 22, "test": 9, "val": 5}
    flair, _ = read_volume(cohort.source(0, "image_flair"))
    lesion = read_labels(cohort.source(0, "lesion"))
    assert flair.shape == lesion.shape == (20, 256, 256)
    # The tumour is bright on FLAIR.
    assert flair[lesion > 0].mean() > 1.5 * flair[lesion == 0].mean()


def test_soop(real, tmp_path):
    cohort = index_layout("images_masks", real / "soop", tmp_path / "soop.csv")
    assert cohort.table["pathology"].value_counts().to_dict() == {"lesion": 446, "healthy": 254}
    scan = cohort.load(0)
    assert scan.image.shape == (1, 1, 189, 157)
    assert 0.3 < scan.brain.mean() < 0.9


def test_ms(real, tmp_path):
    cohort = index_layout("nifti_folder", real / "ms/mni", tmp_path / "ms.csv")
    assert cohort.row_modalities(0) == ("flair", "t1ce", "t1", "t2")
    assert cohort.row_modalities(1) == ("flair", "t1")
    scan = cohort.load(0)
    assert scan.image.shape == (4, 182, 218, 182)
    assert scan.spacing == (1, 1, 1)
    # Skull-stripped, so every lesion voxel is brain.
    assert scan.brain[scan.lesion > 0].mean() > 0.99
    source = cohort.source(0, "image_flair")
    write_like(tmp_path / "map.nii.gz", scan.image[0], source)
    written, original = nib.load(tmp_path / "map.nii.gz"), nib.load(source)
    np.testing.assert_array_equal(written.affine, original.affine)
    np.testing.assert_array_equal(np.asarray(written.dataobj), np.asarray(original.dataobj))


@pytest.mark.parametrize(
    ("path", "code"), [("ixi/t1/IXI260-HH-1805_T1.nii.gz", "PSR"), ("ct/scct_stripped.nii", "LAS")]
)
def test_orientations_that_are_not_ras(real, path, code):
    image = nib.load(real / path)
    assert nib.aff2axcodes(image.affine) == tuple(code)
    array, affine = read_volume(real / path)
    ras = nib.as_closest_canonical(image)
    np.testing.assert_array_equal(array, np.asarray(ras.dataobj, np.float32).transpose(2, 1, 0))
    np.testing.assert_array_equal(affine, ras.affine)


def test_brain_labels_lie_on_the_scan(real):
    array, _ = read_volume(real / "ixi/t1/IXI260-HH-1805_T1.nii.gz")
    (labels,) = (real / "ixi/dlmuse").glob("IXI260*")
    brain = read_labels(labels) > 0
    assert array[brain].mean() > 1.5 * array[~brain].mean()
    # The top of the image is above the brain, the neck below it.
    assert brain.any(axis=(1, 2)).argmax() > brain[::-1].any(axis=(1, 2)).argmax()


def test_ixi(real, tmp_path):
    cohort = index_layout("ixi", real / "ixi", tmp_path / "ixi.csv")
    assert len(cohort) == 30
    assert set(cohort.table["pathology"]) == {"healthy"}
    scan = cohort.load(0)
    # The brain is the independent segmentation, about a litre and a half.
    assert 1000 < scan.brain.sum() * scan.voxel_ml < 2000


def test_mslub(real, tmp_path):
    cohort = index_layout("mslub", real / "ms/mni", tmp_path / "mslub.csv")
    assert cohort.table["subject"].tolist() == ["patient07", "patient19"]
    assert cohort.row_modalities(1) == ("flair", "t1")
    assert cohort.load(1, ("flair", "t1")).lesion.any()
