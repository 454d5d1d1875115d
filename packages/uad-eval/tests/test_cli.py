import nibabel as nib
import numpy as np
import pytest

from uad_eval import metrics
from uad_eval.cli import main
from uad_eval.results import read_table


@pytest.fixture
def folders(tmp_path):
    rng = np.random.default_rng(0)
    arrays = []
    for i in range(3):
        truth = np.zeros((5, 6, 7), np.uint8)
        truth[1:3, 2:4, 2:5] = 1
        score = (rng.random((5, 6, 7)) + 0.4 * truth).astype(np.float32)
        for folder, ending, array in (("maps", "map", score), ("truth", "lesion", truth)):
            (tmp_path / folder).mkdir(exist_ok=True)
            nib.save(nib.Nifti1Image(array, np.eye(4)), tmp_path / folder / f"sub-{i}_{ending}.nii.gz")
        arrays.append((score, truth))
    return tmp_path, arrays


def test_score_prints_and_writes_the_figures(folders, capsys):
    folder, arrays = folders
    out = folder / "results.csv"
    given = ["score", str(folder / "maps"), str(folder / "truth"), "--out", str(out), "--method", "ours"]
    assert main([*given, "--lesion-validation-threshold", "0.9"]) == 0
    scores, truths = (np.concatenate([a.ravel() for a in kind]) for kind in zip(*arrays, strict=True))
    expected = metrics.average_precision(scores, truths)
    printed = capsys.readouterr().out
    assert f"{expected:.3f}" in printed
    assert "ours on truth: 3 scans of 3 subjects, all voxels" in printed
    results = read_table("results", out)
    rows = results[results["subject"] == "pooled"].set_index("metric")["value"]
    assert rows["average_precision"] == pytest.approx(expected, abs=1e-12)
    assert rows["dice"] == pytest.approx(metrics.dice(scores > 0.9, truths))
    assert set(results["subject"]) == {"pooled", "mean", "sub-0", "sub-1", "sub-2"}


def test_brain_masks_are_used(folders, capsys):
    folder, _ = folders
    given = ["score", str(folder / "maps"), str(folder / "truth"), "--brain", str(folder / "truth")]
    assert main(given) == 0
    printed = capsys.readouterr().out
    assert "brain voxels" in printed
    assert "share of lesion voxels" in printed
    assert "1.000" in printed.split("share of lesion voxels")[1]


def test_bad_input_is_one_line_and_status_2(folders, capsys):
    folder, _ = folders
    (folder / "truth" / "sub-1_lesion.nii.gz").unlink()
    assert main(["score", str(folder / "maps"), str(folder / "truth")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert "sub-1" in error
    assert main(["score", str(folder / "maps"), str(folder / "truth"), "--out", "table.doc"]) == 2


@pytest.mark.parametrize("argv", [[], ["score"], ["score", "maps", "truth", "--bra", "x"]])
def test_wrong_usage_exits_with_2(argv, capsys):
    with pytest.raises(SystemExit) as stop:
        main(argv)
    assert stop.value.code == 2
    assert "usage: uad-eval" in capsys.readouterr().err


def test_help_says_how_files_are_matched(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["score", "--help"])
    assert stop.value.code == 0
    printed = capsys.readouterr().out
    assert "sub-001_lesion.nii.gz" in printed
    assert "95 % interval" in printed.replace("\n", " ")
