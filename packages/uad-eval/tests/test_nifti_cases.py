from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from uad_eval import InputError
from uad_eval.nifti_cases import find_cases, read_subjects


def write(path: Path, array, affine=None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(np.asarray(array), np.eye(4) if affine is None else affine), path)
    return path


@pytest.fixture
def pair(tmp_path):
    rng = np.random.default_rng(0)
    score = write(tmp_path / "maps" / "a.nii.gz", rng.random((4, 5, 6), dtype=np.float32))
    truth = write(tmp_path / "truth" / "a.nii.gz", rng.integers(0, 3, (4, 5, 6)).astype(np.uint8))
    return score, truth


def read(pair, **others):
    score, truth = pair
    return list(read_subjects({"a": score}, {"a": truth}, **others))


def test_files_are_matched_without_the_words_that_say_what_they_hold(tmp_path):
    for name in ("sub-001_map.nii.gz", "BraTS_01.nii", "sub-002_ses-1_flair_anomaly-map.nii.gz", "x/lesion.nii.gz"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (tmp_path / "sub-009.nii.txt").touch()
    assert list(find_cases(tmp_path)) == ["BraTS_01", "sub-001", "sub-002_ses-1"]
    assert list(find_cases(tmp_path, files="*/lesion.nii.gz")) == ["x"]


def test_files_of_one_name_take_the_name_of_their_folder(tmp_path):
    for folder in ("patient07", "patient19"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "GOLD_STANDARD_toMNI.nii.gz").touch()
    assert list(find_cases(tmp_path, files="*/GOLD*")) == ["patient07", "patient19"]


def test_folders_that_do_not_serve_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        find_cases(tmp_path / "none")
    with pytest.raises(InputError, match="expected NIfTI files"):
        find_cases(tmp_path)
    (tmp_path / "a_seg.nii").touch()
    (tmp_path / "a_mask.nii").touch()
    with pytest.raises(InputError, match=r"a_mask\.nii and a_seg\.nii are both of case a"):
        find_cases(tmp_path)


def test_voxels_are_read_within_the_brain_and_cut_at_thresholds(pair, tmp_path):
    brain = np.zeros((4, 5, 6), np.uint8)
    brain[1:3] = 1
    brains = {"a": write(tmp_path / "brain.nii", brain)}
    (subject,) = read(pair, brains=brains, thresholds={"lesion_validation": 0.5})
    score, truth = (nib.load(path).get_fdata() for path in pair)
    np.testing.assert_allclose(subject.scores, score[1:3].ravel(), rtol=1e-6)
    np.testing.assert_array_equal(subject.truth, truth[1:3].ravel())
    np.testing.assert_array_equal(subject.masks["lesion_validation"], subject.scores > 0.5)
    (whole,) = read(pair)
    assert whole.scores.size == 120


def test_two_visits_are_one_subject(pair):
    score, truth = pair
    visits = ["sub-1_ses-1", "sub-1_ses-2", "other"]
    subjects = list(read_subjects(dict.fromkeys(visits, score), dict.fromkeys(visits, truth)))
    assert [(s.subject, s.scores.size) for s in subjects] == [("sub-1", 240), ("other", 120)]


def test_missing_cases_are_refused(pair):
    score, truth = pair
    with pytest.raises(InputError, match="expected a map of case b, found none; 1 of 2 cases"):
        list(read_subjects({"a": score}, {"a": truth, "b": truth}))
    with pytest.raises(InputError, match="expected a lesion mask of case b"):
        list(read_subjects({"a": score, "b": score}, {"a": truth}))
    with pytest.raises(InputError, match="expected a brain mask of case a"):
        read(pair, brains={"b": truth})


def replace(pair, which, array, affine=None):
    write(pair[which], array, affine)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda p: replace(p, 1, np.zeros((4, 5, 7), np.uint8)), r"expected the grid of a.nii.gz.*\(4, 5, 7\)"),
        (lambda p: replace(p, 1, np.zeros((4, 5, 6), np.uint8), np.diag([2.0, 1, 1, 1])), "affine"),
        (lambda p: replace(p, 0, np.full((4, 5, 6), np.nan, np.float32)), "found NaN or infinity"),
        (lambda p: replace(p, 0, np.full((4, 5, 6), 7, np.float32)), "found the value 7 in every voxel"),
        (lambda p: replace(p, 0, np.zeros((4, 5, 6, 2), np.float32)), r"3D image, found shape \(4, 5, 6, 2\)"),
        (lambda p: replace(p, 1, np.full((4, 5, 6), 0.5, np.float32)), "found values such as 0.5"),
        (lambda p: replace(p, 1, np.full((4, 5, 6), -1, np.int16)), "found values such as -1"),
        (lambda p: p[0].write_bytes(p[0].read_bytes()[:200]), "cannot be read"),
        (lambda p: p[1].write_text("no image"), "cannot be read"),
    ],
)
def test_files_that_cannot_be_scored_are_refused(pair, spoil, message):
    spoil(pair)
    with pytest.raises(InputError, match=message):
        read(pair)


def test_an_empty_brain_mask_is_refused(pair, tmp_path):
    empty = write(tmp_path / "brain.nii", np.zeros((4, 5, 6), np.uint8))
    with pytest.raises(InputError, match="found no voxel"):
        read(pair, brains={"a": empty})
