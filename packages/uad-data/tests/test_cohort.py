import errno
import logging
import os

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from uad_data.cohort import Cohort
from uad_data.errors import InputError


@pytest.fixture
def cohort(tmp_path, write_nifti, mask):
    """Two people with FLAIR, one also with T1 and a lesion, the other healthy."""
    brain = np.ones((4, 5, 6), np.uint8)
    brain[0] = 0
    for name in ("a/flair.nii.gz", "a/t1.nii.gz", "b/flair.nii.gz"):
        write_nifti(name)
    write_nifti("a/lesion.nii.gz", mask)
    for name in ("a/brain.nii.gz", "b/brain.nii.gz"):
        write_nifti(name, brain)
    table = pd.DataFrame(
        {
            "subject": ["a", "b"],
            "split": ["train", "test"],
            "pathology": ["ms", "healthy"],
            "image_t1": ["a/t1.nii.gz", ""],
            "image_flair": ["a/flair.nii.gz", "b/flair.nii.gz"],
            "brain": ["a/brain.nii.gz", "b/brain.nii.gz"],
            "lesion": ["a/lesion.nii.gz", ""],
        }
    )
    return Cohort(table, tmp_path)


def test_write_and_read(cohort, tmp_path):
    cohort.write(tmp_path / "cohort.csv")
    read = Cohort.read(tmp_path / "cohort.csv")
    pd.testing.assert_frame_equal(read.table, cohort.table)
    assert (len(read), read.modalities) == (2, ("t1", "flair"))


def test_leading_zeros_of_subjects_stay(cohort, tmp_path):
    Cohort(cohort.table.assign(subject=["007", "NA"]), tmp_path).write(tmp_path / "cohort.csv")
    assert Cohort.read(tmp_path / "cohort.csv").table["subject"].tolist() == ["007", "NA"]


def test_paths_follow_the_table(cohort, tmp_path):
    cohort.write(tmp_path / "a" / "cohort.csv")
    table = Cohort.read(tmp_path / "a" / "cohort.csv").table
    assert table["image_flair"].tolist() == ["flair.nii.gz", str(tmp_path / "b/flair.nii.gz")]


def test_moved_data_set_is_still_readable(cohort, tmp_path):
    cohort.write(tmp_path / "cohort.csv")
    moved = tmp_path.with_name(tmp_path.name + "_moved")
    tmp_path.rename(moved)
    try:
        assert Cohort.read(moved / "cohort.csv").load(0).subject == "a"
    finally:
        moved.rename(tmp_path)


def test_load(cohort, mask):
    scan = cohort.load(0, ("flair", "t1"))
    assert (scan.modalities, scan.subject, scan.pathology) == (("flair", "t1"), "a", "ms")
    assert scan.image.shape == (2, 6, 5, 4)
    np.testing.assert_array_equal(scan.lesion, mask.transpose(2, 1, 0))
    assert not scan.brain[..., 0].any()
    assert scan.brain[..., 1:].all()


def test_healthy_scan_has_an_empty_lesion_and_others_an_unknown_one(cohort):
    assert cohort.load(1, ("flair",)).lesion.sum() == 0
    table = cohort.table.assign(pathology="ms", lesion="")
    assert Cohort(table, cohort.root).load(1, ("flair",)).lesion is None


def test_brain_is_found_on_flair_whichever_modality_is_read(cohort, monkeypatch):
    seen = []

    def fake(volume, spacing):
        seen.append((volume, spacing))
        return np.ones(volume.shape, bool)

    monkeypatch.setattr("uad_data.cohort.brain_mask", fake)
    found = Cohort(cohort.table.assign(brain=""), cohort.root)
    found.load(0, ("t1",))
    flair = found.load(0, ("flair",))
    for volume, spacing in seen:
        np.testing.assert_array_equal(volume, flair.image[0])
        assert spacing == (1.0, 1.0, 1.0)
    assert len(seen) == 2


def test_nothing_is_read_before_load(cohort, tmp_path):
    (tmp_path / "a/t1.nii.gz").write_bytes(b"")
    cohort.write(tmp_path / "cohort.csv")
    read = Cohort.read(tmp_path / "cohort.csv")
    read.load(0, ("flair",))
    with pytest.raises(InputError, match=r"a/t1\.nii\.gz: expected a whole NIfTI file"):
        read.load(0, ("t1",))


def test_select(cohort):
    assert cohort.select(split="test").table["subject"].tolist() == ["b"]
    with pytest.raises(InputError, match="split 'val': expected scans, found none"):
        cohort.select(split="val")


def test_row_without_a_modality(cohort):
    assert cohort.row_modalities(1) == ("flair",)
    with pytest.raises(InputError, match=r"subject 'b': expected the modality 't1', found \('flair',\)"):
        cohort.load(1, ("t1",))


def test_unknown_modality(cohort):
    for call in (lambda: cohort.load(0, ("pet",)), lambda: cohort.digest(("pet",))):
        with pytest.raises(InputError, match="modalities: expected some of t1, flair, found 'pet'"):
            call()
    with pytest.raises(InputError, match="modalities: expected some of t1, flair, found none"):
        cohort.load(0, ())


def test_with_modalities_says_how_many_it_drops(cohort, caplog):
    with caplog.at_level(logging.WARNING):
        kept = cohort.with_modalities(("flair", "t1"))
    assert kept.table["subject"].tolist() == ["a"]
    assert "1 of 2 scans lack one of flair, t1" in caplog.text
    assert len(cohort.with_modalities(("flair",))) == 2
    only_b = Cohort(cohort.table.assign(image_t1=["", "t1.nii"], image_flair=["flair.nii", ""]), cohort.root)
    with pytest.raises(InputError, match="modalities flair, t1: expected at least one scan with all of them"):
        only_b.with_modalities(("flair", "t1"))


def test_shapes_differ_between_sequences(cohort, write_nifti):
    write_nifti("a/t1.nii.gz", shape=(4, 5, 7))
    expected = r"a/t1\.nii\.gz: expected the shape \(6, 5, 4\) .* of .*a/flair\.nii\.gz, found \(7, 5, 4\)"
    with pytest.raises(InputError, match=expected):
        cohort.load(0, ("flair", "t1"))


def test_mask_of_another_shape(cohort, write_nifti):
    write_nifti("a/lesion.nii.gz", np.zeros((4, 5, 7), np.uint8))
    with pytest.raises(InputError, match=r"a/lesion\.nii\.gz: expected the shape \(6, 5, 4\)"):
        cohort.load(0, ("flair",))


def test_mask_in_another_place(cohort, write_nifti, mask):
    write_nifti("a/lesion.nii.gz", mask, np.diag([-1.0, 1, 1, 1]))
    with pytest.raises(InputError, match=r"a/lesion\.nii\.gz: expected the place in space .* 3\.0 mm off"):
        cohort.load(0, ("flair",))


def test_mask_with_unknown_labels(cohort, write_nifti, mask):
    write_nifti("a/lesion.nii.gz", mask * np.float32(0.5))
    with pytest.raises(InputError, match=r"a/lesion\.nii\.gz: expected a mask of whole-numbered .* found 0\.5"):
        cohort.load(0, ("flair",))


def test_constant_volume(cohort, write_nifti):
    write_nifti("a/flair.nii.gz", np.full((4, 5, 6), 3, np.int16))
    with pytest.raises(InputError, match=r"a/flair\.nii\.gz: expected an image, found the same value 3"):
        cohort.load(0, ("flair",))


def test_empty_brain_mask(cohort, write_nifti):
    write_nifti("a/brain.nii.gz", np.zeros((4, 5, 6), np.uint8))
    with pytest.raises(InputError, match=r"a/brain\.nii\.gz: expected a brain, found an empty mask"):
        cohort.load(0, ("flair",))


def test_files_moved(cohort, tmp_path):
    cohort.write(tmp_path / "cohort.csv")
    (tmp_path / "a/flair.nii.gz").unlink()
    (tmp_path / "b/flair.nii.gz").unlink()
    expected = rf"cohort\.csv: 2 of 6 files are not there, the first is a/flair\.nii\.gz .*{tmp_path}"
    with pytest.raises(InputError, match=expected):
        Cohort.read(tmp_path / "cohort.csv")


def test_stack_moved(cohort, tmp_path):
    cohort.write(tmp_path / "cohort.csv")
    text = (tmp_path / "cohort.csv").read_text().replace("a/t1.nii.gz", "a/t1_*.tif#1")
    (tmp_path / "cohort.csv").write_text(text)
    with pytest.raises(InputError, match=r"the first is a/t1_\*\.tif#1"):
        Cohort.read(tmp_path / "cohort.csv")


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b'a,"b\n'])
def test_table_that_is_none(tmp_path, content):
    (tmp_path / "cohort.csv").write_bytes(content)
    with pytest.raises(InputError, match=r"cohort\.csv: "):
        Cohort.read(tmp_path / "cohort.csv")


def test_missing_table(tmp_path):
    with pytest.raises(InputError, match=r"cohort\.csv: no such cohort table"):
        Cohort.read(tmp_path / "cohort.csv")


def test_message_about_a_row_names_the_table(cohort, tmp_path):
    cohort.write(tmp_path / "cohort.csv")
    text = (tmp_path / "cohort.csv").read_text()
    (tmp_path / "cohort.csv").write_text(text.replace(",test,", ",tets,"))
    with pytest.raises(InputError, match=r"cohort\.csv: cohort table: subject 'b': expected the split .* found 'tets'"):
        Cohort.read(tmp_path / "cohort.csv")


def test_digest_follows_rows_and_files(cohort, tmp_path):
    before = cohort.digest(("flair",))
    assert before == Cohort(cohort.table, cohort.root).digest(("flair",))
    assert before != cohort.digest(("flair", "t1"))
    assert before != Cohort(cohort.table.assign(split="train"), cohort.root).digest(("flair",))
    os.utime(tmp_path / "a/t1.nii.gz", ns=(1, 1))
    assert before == cohort.digest(("flair",))
    for name in ("flair", "lesion", "brain"):
        os.utime(tmp_path / f"a/{name}.nii.gz", ns=(1, 1))
        before, last = cohort.digest(("flair",)), before
        assert before != last


def test_digest_follows_the_sequence_that_the_brain_is_found_on(cohort, tmp_path):
    found = Cohort(cohort.table[:1].assign(brain=""), cohort.root)
    before = found.digest(("t1",))
    os.utime(tmp_path / "a/flair.nii.gz", ns=(1, 1))
    assert before != found.digest(("t1",))


def test_source(cohort, tmp_path):
    assert cohort.source(0, "image_flair") == str(tmp_path / "a/flair.nii.gz")
    assert cohort.source(1, "lesion") == ""


def test_full_disk_keeps_the_old_table(cohort, tmp_path, monkeypatch):
    cohort.write(tmp_path / "cohort.csv")
    before = sorted(tmp_path.iterdir()), (tmp_path / "cohort.csv").read_text()

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        Cohort(cohort.table[:1], tmp_path).write(tmp_path / "cohort.csv")
    assert before == (sorted(tmp_path.iterdir()), (tmp_path / "cohort.csv").read_text())


def test_written_map_lies_on_the_scan(cohort, tmp_path):
    from uad_data.readers import write_like

    scan = cohort.load(0, ("flair",))
    write_like(tmp_path / "map.nii.gz", scan.image[0], cohort.source(0, "image_flair"))
    original = nib.load(tmp_path / "a/flair.nii.gz").get_fdata()
    np.testing.assert_array_equal(nib.load(tmp_path / "map.nii.gz").get_fdata(), original)
