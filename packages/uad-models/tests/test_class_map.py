"""The parts of a lesion, on the scan's own grid, by the label values of the training."""

import json

import nibabel as nib
import numpy as np
import pytest
import torch

from uad_models import finetune
from uad_models.clinical.scan_prediction import predict_scan
from uad_models.labelled.segmenter import Segmenter

SETTINGS = {
    "config": {"classes": ("left_part=4", "right_part=2", "ball=1")},  # the cohort's lesions are all 1
    "train": {"steps": 1, "batch_size": 4, "warmup_steps": 0, "augmentation": "none"},
    "progress": False,
}


@pytest.fixture(scope="module")
def run(store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("classes") / "run"
    finetune(store, folder, **SETTINGS)
    return folder


def by_side(self, x):
    """One class on the subject's left, another on the right: RAS+ runs to the right."""
    found = torch.full((len(x), 4, *x.shape[2:]), 0.05)
    half = x.shape[-1] // 2
    found[:, 1, ..., :half] = found[:, 2, ..., half:] = 0.85
    return found


def volume(path):
    return np.asarray(nib.load(path).dataobj)


def test_classes_stand_on_the_scans_own_grid(run, cohort_csv, tmp_path, monkeypatch):
    monkeypatch.setattr(Segmenter, "probabilities", by_side)
    scan, brain = (cohort_csv.parent / f"s1_{name}.nii.gz" for name in ("flair", "brain"))
    predict_scan(run, [scan], tmp_path / "out", brain=brain, threshold=0.5)
    image, found = nib.load(scan), nib.load(tmp_path / "out" / "classes.nii.gz")
    assert found.get_data_dtype() == np.uint8
    assert np.array_equal(found.affine, image.affine)
    classes, mask = volume(tmp_path / "out" / "classes.nii.gz"), volume(tmp_path / "out" / "mask.nii.gz") > 0
    assert mask.mean() > 0.05
    assert np.array_equal(classes > 0, mask)
    right = nib.affines.apply_affine(image.affine, np.argwhere(mask))[:, 0]
    middle = nib.affines.apply_affine(image.affine, np.argwhere(volume(brain) > 0))[:, 0].mean()
    beside = np.abs(right - middle) > 5
    assert np.array_equal(classes[mask][beside], np.where(right[beside] > middle, 2, 4))
    page = (tmp_path / "out" / "report.html").read_text()
    for value, name in ((4, "left_part"), (2, "right_part")):
        litres = np.count_nonzero(classes == value) * abs(np.linalg.det(image.affine[:3, :3])) / 1000
        size = f"{litres:.1f} ml" if litres >= 1 else f"{litres:.2f} ml"
        assert f"<td>{value}</td><td>{name}</td><td>{size}</td>" in page
    assert "labelled scan(s)" in page
    said = json.loads((tmp_path / "out" / "prediction.json").read_text())
    assert said["classes"] == {"left_part": 4, "right_part": 2, "ball": 1}


def test_a_run_without_a_mask_or_without_named_classes_has_none(run, store, cohort_csv, tmp_path):
    scan = [cohort_csv.parent / "s1_flair.nii.gz"]
    predict_scan(run, scan, tmp_path / "out", threshold=0.5)
    assert (tmp_path / "out" / "classes.nii.gz").is_file()
    predict_scan(run, scan, tmp_path / "out")  # no threshold was fitted
    assert not (tmp_path / "out" / "classes.nii.gz").exists()
    finetune(store, tmp_path / "one", **SETTINGS | {"config": {}})
    predict_scan(tmp_path / "one", scan, tmp_path / "alone", threshold=0.5)
    assert (tmp_path / "alone" / "mask.nii.gz").is_file()
    assert not (tmp_path / "alone" / "classes.nii.gz").exists()
    assert "<h2>Parts</h2>" not in (tmp_path / "alone" / "report.html").read_text()
