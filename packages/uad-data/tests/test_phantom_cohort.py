import gzip
import hashlib
import json
import os

import nibabel as nib
import numpy as np
import pytest

from uad_data.cohort import Cohort
from uad_data.errors import InputError
from uad_data.phantom import PATHOLOGIES, make_subject, subject_plan, write_phantom
from uad_data.phantom import cohort as cohort_module

SPACING = 6.0
SUBJECTS = 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("phantom") / "cohort"
    write_phantom(out, subjects=SUBJECTS, seed=3, spacing_mm=SPACING)
    return out


def digests(folder, names):
    return {
        f"{name}/{path.name}": hashlib.sha256(path.read_bytes()).hexdigest()
        for name in names
        for path in sorted((folder / name).iterdir())
    }


def test_the_same_bytes_whatever_workers_and_number_of_subjects(folder, tmp_path):
    write_phantom(tmp_path / "again", subjects=3, seed=3, spacing_mm=SPACING, workers=2)
    names = [f"sub-{i:03d}" for i in range(3)]
    assert len(digests(folder, names)) == 18
    assert digests(folder, names) == digests(tmp_path / "again", names)


def test_another_seed_is_another_person():
    first, second = (make_subject(1, seed=seed, spacing_mm=SPACING) for seed in (3, 4))
    assert (first.brain != second.brain).any()
    assert (first.lesion != second.lesion).any()


def test_the_cohort_reads_back(folder):
    cohort = Cohort.read(folder / "cohort.csv")
    assert len(cohort) == SUBJECTS
    assert cohort.modalities == ("t1", "t1ce", "t2", "flair")
    scan = cohort.load(1)
    subject = make_subject(1, seed=3, spacing_mm=SPACING)
    np.testing.assert_array_equal(scan.image[3], subject.images["flair"].transpose(2, 1, 0))
    np.testing.assert_array_equal(scan.lesion, subject.lesion.transpose(2, 1, 0))
    np.testing.assert_array_equal(scan.brain, subject.brain.transpose(2, 1, 0))
    np.testing.assert_allclose(scan.affine, subject.affine)
    path = folder / "sub-001" / "t1.nii.gz"
    assert nib.load(path).header.get_data_dtype() == np.int16
    slope_and_intercept = np.frombuffer(gzip.decompress(path.read_bytes())[112:120], "<f4")
    np.testing.assert_array_equal(slope_and_intercept, (1, 0))


def test_healthy_people_have_no_lesion_and_the_others_have_one(folder):
    cohort = Cohort.read(folder / "cohort.csv")
    for i, row in cohort.table.iterrows():
        lesion = cohort.load(i, ("flair",)).lesion
        assert lesion.any() == (row["pathology"] != "healthy")


def test_the_plan_of_sixty_people():
    plan = [subject_plan(i) for i in range(60)]
    count = {split: [p for p, s, _ in plan if s == split] for split in ("train", "val", "test")}
    assert sum(p == "healthy" for p, _, _ in plan) == 24
    for split, lesions, healthy in (("train", 9, 18), ("val", 9, 3), ("test", 18, 3)):
        assert len([p for p in count[split] if p != "healthy"]) == lesions
        assert count[split].count("healthy") == healthy
    assert set(count["test"]) == set(count["val"]) == set(PATHOLOGIES)
    for pathology in PATHOLOGIES[1:]:
        sizes = [size for p, _, size in plan if p == pathology]
        assert min(sizes) < 0.3
        assert max(sizes) > 0.7


def test_resume_remakes_only_what_is_missing(folder):
    kept, lost = folder / "sub-002" / "flair.nii.gz", folder / "sub-004"
    before, stamp = digests(folder, ["sub-004"]), kept.stat().st_mtime_ns
    lost.rename(folder / ".sub-004.partial")
    os.truncate(folder / ".sub-004.partial" / "t1.nii.gz", 100)
    write_phantom(folder, subjects=SUBJECTS, seed=3, spacing_mm=SPACING)
    assert digests(folder, ["sub-004"]) == before
    assert kept.stat().st_mtime_ns == stamp
    assert not list(folder.glob(".sub*"))


def test_two_runs_at_once_write_the_same_cohort(tmp_path, monkeypatch):
    write_phantom(tmp_path / "alone", subjects=2, spacing_mm=SPACING)
    name, pid = "uad_data.phantom.cohort._write_volume", os.getpid()
    begun = []

    def interrupted(path, *args):
        begun.append(path)
        if len(begun) == 3:  # the other run comes, makes everything and is done before this one
            monkeypatch.setattr("uad_data.phantom.cohort.os.getpid", lambda: pid + 1)
            monkeypatch.setattr(name, write)
            write_phantom(tmp_path / "both", subjects=2, spacing_mm=SPACING)
        write(path, *args)

    write = cohort_module._write_volume
    monkeypatch.setattr(name, interrupted)
    write_phantom(tmp_path / "both", subjects=2, spacing_mm=SPACING)
    names = ["sub-000", "sub-001"]
    assert digests(tmp_path / "both", names) == digests(tmp_path / "alone", names)
    assert not list((tmp_path / "both").glob(".sub*"))


def test_a_subject_that_fails_leaves_no_folder(tmp_path, monkeypatch):
    def full_disk(*args):
        raise OSError("No space left on device")

    monkeypatch.setattr("uad_data.phantom.cohort._write_volume", full_disk)
    with pytest.raises(OSError, match="No space"):
        write_phantom(tmp_path, subjects=1, spacing_mm=SPACING)
    assert not list(tmp_path.glob("sub-*"))
    assert not (tmp_path / "cohort.csv").exists()


@pytest.mark.parametrize("settings", [{"seed": 4, "spacing_mm": SPACING}, {"seed": 3, "spacing_mm": 5.0}])
def test_a_folder_of_other_settings_is_refused(folder, settings):
    with pytest.raises(InputError, match="choose another folder"):
        write_phantom(folder, subjects=1, **settings)


def test_a_folder_of_other_origin_is_refused(tmp_path):
    (tmp_path / "cohort.csv").write_text("subject\n")
    with pytest.raises(InputError, match="another cohort"):
        write_phantom(tmp_path, subjects=1, spacing_mm=SPACING)
    assert (tmp_path / "cohort.csv").read_text() == "subject\n"


def test_a_damaged_settings_file_is_refused(tmp_path):
    (tmp_path / "phantom.json").write_text("{")
    with pytest.raises(InputError, match="no JSON"):
        write_phantom(tmp_path, subjects=1, spacing_mm=SPACING)


def test_settings_are_kept(folder):
    assert json.loads((folder / "phantom.json").read_text()) == {"phantom": 1, "seed": 3, "spacing_mm": SPACING}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"subjects": 0}, "subjects must be at least 1, found 0"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"workers": 0}, "workers must be at least 1"),
        ({"spacing_mm": 0.5}, "spacing_mm must be 1 to 8"),
    ],
)
def test_settings_out_of_range(tmp_path, settings, message):
    with pytest.raises(InputError, match=message):
        write_phantom(tmp_path / "x", **settings)
    assert not (tmp_path / "x").exists()


def average_precision(score, truth):
    order = np.argsort(-score, kind="stable")
    hits = np.cumsum(truth[order])
    return float((hits / np.arange(1, len(hits) + 1))[truth[order]].mean())


def test_intensity_alone_neither_solves_the_task_nor_is_useless(folder):
    cohort = Cohort.read(folder / "cohort.csv")
    scores, truths = [], []
    for i in np.flatnonzero(cohort.table["split"] != "train"):
        scan = cohort.load(int(i), ("flair",))
        area = scan.brain.sum((1, 2))
        keep = scan.brain & (area >= 0.25 * area.max())[:, None, None]
        scores.append(scan.image[0][keep] / np.percentile(scan.image[0][scan.brain], 99))
        truths.append(scan.lesion[keep] > 0)
    truth = np.concatenate(truths)
    assert 0.005 < truth.mean() < 0.10
    assert 0.1 < average_precision(np.concatenate(scores), truth) < 0.9
