import builtins
import errno
import os

import nibabel as nib
import numpy as np
import pytest

from uad_data.cli import main
from uad_data.cohort import Cohort


@pytest.fixture
def pictures(tmp_path, write_picture):
    """Make a small images/masks data set of skull-stripped-like pictures."""
    pixels = np.zeros((40, 40), np.uint8)
    pixels[8:32, 8:32] = np.random.default_rng(0).integers(80, 200, (24, 24), np.uint8)
    for k in range(8):
        write_picture(f"data/images/{k}.png", pixels)
        write_picture(f"data/masks/{k}.png", np.full((40, 40), 255 * (k % 2), np.uint8))
    return tmp_path / "data"


def test_list_names_every_data_set(capsys):
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    for name in ("brats", "kaggle_3m", "images_masks", "nifti_folder", "phantom"):
        assert f"{name}\n  what " in out


@pytest.mark.parametrize("command", [[], ["list"], ["phantom"], ["index"], ["check"]])
def test_help_ends_with_an_example(capsys, command):
    with pytest.raises(SystemExit) as exit_:
        main([*command, "--help"])
    assert exit_.value.code == 0
    assert "example:\n  uad-data " in capsys.readouterr().out


def test_index_and_check(pictures, tmp_path, capsys):
    out = tmp_path / "cohort.csv"
    assert main(["index", "images_masks", str(pictures), "--out", str(out), "--fractions", "0.5", "0.25", "0.25"]) == 0
    printed = capsys.readouterr().out
    assert f"{out}: 8 scans of 8 subjects, sequences flair" in printed
    assert printed.splitlines()[2:] == [
        "         train  val  test",
        "healthy      2    1     1",
        "lesion       2    1     1",
    ]
    assert main(["check", str(out)]) == 0
    assert "all 8 scans can be read" in capsys.readouterr().out


def test_index_is_told_what_the_data_set_does_not_say(tmp_path, capsys):
    image = nib.Nifti1Image(np.random.default_rng(0).random((4, 4, 4), np.float32), np.eye(4))
    for subject in ("01", "02", "03"):
        folder = tmp_path / f"study/sub-{subject}/anat"
        folder.mkdir(parents=True)
        nib.save(image, folder / f"sub-{subject}_T1w.nii.gz")
    out = tmp_path / "cohort.csv"
    assert main(["index", "bids", str(tmp_path / "study"), "--out", str(out)]) == 0
    assert "unknown" in capsys.readouterr().out
    assert main(["index", "bids", str(tmp_path / "study"), "--pathology", "healthy", "--out", str(out)]) == 0
    assert "unknown" not in capsys.readouterr().out
    cohort = Cohort.read(out)
    assert set(cohort.table["pathology"]) == {"healthy"}
    lesion = cohort.load(0).lesion
    assert lesion is not None
    assert not lesion.any()


def test_check_names_every_bad_scan(pictures, tmp_path, capsys):
    out = tmp_path / "cohort.csv"
    main(["index", "images_masks", str(pictures), "--out", str(out)])
    for name in ("2", "5"):
        (pictures / f"images/{name}.png").write_bytes(b"cut")
    assert main(["check", str(out)]) == 2
    error = capsys.readouterr().err
    assert f"error: {out}: 2 of 8 scans cannot be used:\n" in error
    assert "images/2.png: expected a picture" in error
    assert "images/5.png: expected a picture" in error


def test_bad_input_is_one_line_and_status_2(tmp_path, capsys):
    assert main(["index", "kagle", str(tmp_path), "--out", str(tmp_path / "c.csv")]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: layout 'kagle': expected one of ")
    assert "nearest: kaggle_3m" in captured.err
    assert captured.err.count("\n") == 1


def test_cohort_of_the_phantom_command(tmp_path, capsys, monkeypatch):
    asked = {}

    def write_phantom(out, **options):
        asked.update(options, out=out)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("uad_data.cli.write_phantom", write_phantom)
    command = ["phantom", "--out", str(tmp_path), "--subjects", "3", "--seed", "7", "--spacing", "4", "--workers", "2"]
    assert main(command) == 2
    asked_for = {"out": tmp_path, "modality": "mri", "subjects": 3, "seed": 7, "spacing_mm": 4.0, "workers": 2}
    assert asked == asked_for
    assert capsys.readouterr().err.startswith("error: the disk is full; free some space")


@pytest.mark.parametrize("place", ["replace", "open"])
def test_full_disk_is_one_line_and_leaves_nothing(pictures, tmp_path, capsys, monkeypatch, place):
    real = builtins.open

    def full(path, *arguments, **options):
        if place == "replace" or "cohort.csv" in str(path):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return real(path, *arguments, **options)

    monkeypatch.setattr(*(os, "replace") if place == "replace" else (builtins, "open"), full)
    assert main(["index", "images_masks", str(pictures), "--out", str(tmp_path / "cohort.csv")]) == 2
    monkeypatch.undo()
    assert "the disk is full; free some space" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [pictures]


def test_folder_that_may_not_be_written(pictures, tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main(["index", "images_masks", str(pictures), "--out", str(tmp_path / "file" / "cohort.csv")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
