import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest

from uad_postproc import Context, Pipeline, list_pipelines
from uad_postproc.cli import main
from uad_postproc.pipelines import PIPELINES, pipeline
from uad_postproc.steps import Otsu

AFFINE = np.diag([1.0, 1.0, 2.0, 1.0])
SHAPE = (24, 22, 12)


def write(path, array, affine=AFFINE):
    nib.save(nib.Nifti1Image(array, affine), path)
    return str(path)


def read(path):
    return np.asarray(nib.load(path).dataobj)


@pytest.fixture
def scan(tmp_path, rng):
    """A map with a bright box, and its brain."""
    brain = np.zeros(SHAPE, np.uint8)
    brain[2:-2, 2:-2, 1:-1] = 1
    array = rng.random(SHAPE).astype(np.float32) * 0.1 * brain
    array[8:15, 8:15, 3:9] += 0.5
    return write(tmp_path / "map.nii.gz", array), write(tmp_path / "brain.nii.gz", brain), array, brain > 0


@pytest.fixture
def validation(tmp_path, scan, rng):
    """Two scans, not on one grid: `a` without labels, `b` with a lesion."""
    folder = tmp_path / "val"
    folder.mkdir()
    brain = np.ones((10, 11, 12), np.uint8)
    write(folder / "a_map.nii.gz", rng.random(brain.shape).astype(np.float32) * 0.2)
    write(folder / "a_brain.nii.gz", brain)
    write(folder / "b_map.nii.gz", scan[2])
    write(folder / "b_brain.nii.gz", scan[3].astype(np.uint8))
    write(folder / "b_lesion.nii.gz", 2 * (scan[2] > 0.4).astype(np.uint8))
    return folder


def test_list_names_pipelines_steps_and_labels(capsys):
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    assert all(f"{name}: " in out for name in list_pipelines())
    assert "MedianFilter(size=5)" in out
    assert "needs no lesion labels" in out
    assert "needs lesion labels to fit" in out


def test_apply_with_a_threshold_equals_the_pipeline(scan, tmp_path, capsys):
    path, brain_path, array, brain = scan
    out = tmp_path / "mask.nii.gz"
    arguments = ["apply", "--pipeline", "poster2023", "--threshold", "0.2", path, "--brain", brain_path]
    assert main([*arguments, "--out", str(out)]) == 0
    expected = pipeline("poster2023").with_threshold(0.2).mask(array[None], Context(brain[None], (1, 1, 2)))[0]
    assert expected.any()
    np.testing.assert_array_equal(read(out), expected)
    assert capsys.readouterr().out.strip() == (
        f"{out}: threshold 0.2, {expected.sum()} voxels, {expected.sum() * 0.002:.3g} ml"
    )


@pytest.mark.parametrize(("affine", "axis"), [(AFFINE, 2), (np.diag([1.0, 1, 2, 1])[[2, 1, 0, 3]], 0)])
def test_slices_go_along_the_axial_axis(scan, tmp_path, affine, axis):
    array = scan[2]
    path = write(tmp_path / "turned.nii.gz", array, affine)
    out = tmp_path / "mask.nii.gz"
    assert main(["apply", "--pipeline", "poster2023", "--threshold", "0.2", path, "--slices", "--out", str(out)]) == 0
    items = np.moveaxis(array, axis, 0)
    expected = pipeline("poster2023").with_threshold(0.2).mask(items, Context(items != 0))
    assert expected.any()
    np.testing.assert_array_equal(np.moveaxis(read(out), axis, 0), expected)


def test_a_single_slice_is_2d(scan, tmp_path, capsys):
    path = write(tmp_path / "slice.nii.gz", scan[2][:, :, 5:6])
    out = tmp_path / "mask.nii"
    assert main(["apply", "--pipeline", "poster2023", "--threshold", "0.2", path, "--out", str(out)]) == 0
    assert read(out).sum() > 20
    assert "non-zero voxels are taken as the brain" in capsys.readouterr().err


def test_guessed_brain_has_no_holes(scan, tmp_path):
    array = scan[2].copy()
    array[11, 11, 6] = 0
    path, out = write(tmp_path / "hole.nii.gz", array), tmp_path / "mask.nii.gz"
    assert main(["apply", "--pipeline", "lambert2021", "--threshold", "0.2", path, "--out", str(out)]) == 0
    assert read(out).sum() == (array > 0.2).sum()


def test_fit_pools_the_scans_of_a_folder(scan, validation, tmp_path, capsys):
    out = tmp_path / "mask.nii.gz"
    fit = ["--fit", str(validation), scan[0], "--brain", scan[1], "--out", str(out)]
    assert main(["apply", "--pipeline", "poster2023", *fit]) == 0
    made, scores = pipeline("poster2023"), []
    for case in ("a", "b"):
        array, brain = read(validation / f"{case}_map.nii.gz"), read(validation / f"{case}_brain.nii.gz") > 0
        healthy = brain & (read(validation / "b_lesion.nii.gz") == 0) if case == "b" else brain
        scores.append(made.score(array[None], Context(brain[None]))[0][healthy])
    value = made.fit_voxels(np.concatenate(scores)).threshold.value
    assert f"threshold {value:.6g}," in capsys.readouterr().out
    np.testing.assert_array_equal(read(out), made.with_threshold(value).mask(scan[2][None], Context(scan[3][None]))[0])


def test_fit_with_labels(scan, validation, tmp_path, capsys):
    arguments = ["apply", "--pipeline", "lambert2021", "--fit", str(validation), scan[0], "--brain", scan[1]]
    arguments += ["--out", str(tmp_path / "mask.nii.gz")]
    assert main(arguments) == 2
    assert "a_lesion.nii.gz: no such file; pipeline 'lambert2021' needs lesion labels" in capsys.readouterr().err
    for part in ("map", "brain"):
        (validation / f"a_{part}.nii.gz").unlink()
    assert main(arguments) == 0
    assert "threshold 0.15," in capsys.readouterr().out


@pytest.mark.parametrize("name", list_pipelines())
@pytest.mark.parametrize("slices", [[], ["--slices"]])
def test_every_pipeline_fits_and_applies(name, slices, scan, validation, tmp_path, capsys):
    write(validation / "a_lesion.nii.gz", np.zeros((10, 11, 12), np.uint8))
    out = tmp_path / "mask.nii.gz"
    arguments = ["--fit", str(validation), scan[0], "--brain", scan[1], "--out", str(out), *slices]
    assert main(["apply", "--pipeline", name, *arguments]) == 0
    mask = read(out) > 0
    assert not mask[~scan[3]].any()
    assert mask.any()
    assert ("needs no fit" in capsys.readouterr().err) == (name == "context_vae")


def test_a_pipeline_that_needs_no_fit_runs_without_one(scan, tmp_path, capsys):
    out = tmp_path / "mask.nii.gz"
    assert main(["apply", "--pipeline", "context_vae", scan[0], "--brain", scan[1], "--out", str(out)]) == 0
    expected = pipeline("context_vae").mask(scan[2][None], Context(scan[3][None], (1, 1, 2)))[0]
    assert expected.any()
    np.testing.assert_array_equal(read(out), expected)
    assert f"{out}: threshold 0.5," in capsys.readouterr().out


def test_a_threshold_of_the_maps_own_is_said(scan, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(PIPELINES, "otsu", Pipeline("otsu", (Otsu(),)))
    out = tmp_path / "mask.nii.gz"
    assert main(["apply", "--pipeline", "otsu", scan[0], "--brain", scan[1], "--out", str(out)]) == 0
    assert "threshold of the map's own," in capsys.readouterr().out
    np.testing.assert_array_equal(read(out), Otsu().apply(scan[2][None], Context(scan[3][None]))[0])


def changed(array, index, value):
    array = array.copy()
    array[index] = value
    return array


BAD = {
    "missing map": ("map", None, "no such file"),
    "NaN": ("map", lambda a: changed(a, (3, 3, 3), np.nan), "NaN or infinite"),
    "constant": ("map", lambda a: np.ones_like(a), "constant"),
    "4D": ("map", lambda a: np.stack([a, a], axis=-1), "3D volume"),
    "missing brain": ("brain", None, "no such file"),
    "empty brain": ("brain", lambda a: 0 * a, "no voxel set"),
    "brain of another shape": ("brain", lambda a: a[1:], "expected the shape"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files(case, scan, tmp_path, capsys):
    part, change, message = BAD[case]
    path = tmp_path / f"{part}.nii.gz"
    array = read(path)
    path.unlink()
    if change:
        write(path, change(array))
    arguments = ["--threshold", "0.2", scan[0], "--brain", scan[1], "--out", str(tmp_path / "mask.nii.gz")]
    check(["apply", "--pipeline", "poster2023", *arguments], f"{path}", message, capsys)
    assert not (tmp_path / "mask.nii.gz").exists()


def check(arguments, start, message, capsys):
    """Expect exit status 2 and one line that names the culprit."""
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"error: {start}")
    assert message in captured.err
    assert captured.err.count("\n") == 1


def test_truncated_map(scan, tmp_path, capsys):
    path = tmp_path / "map.nii.gz"
    path.write_bytes(path.read_bytes()[:-500])
    arguments = ["--threshold", "0.2", scan[0], "--brain", scan[1], "--out", str(tmp_path / "mask.nii.gz")]
    check(["apply", "--pipeline", "poster2023", *arguments], path, "cut short", capsys)


def test_brain_elsewhere(scan, tmp_path, capsys):
    moved = write(tmp_path / "moved.nii.gz", np.ones(SHAPE, np.uint8), np.diag([1, 1, 2.5, 1]))
    arguments = ["--threshold", "0.2", scan[0], "--brain", moved, "--out", str(tmp_path / "mask.nii.gz")]
    check(["apply", "--pipeline", "poster2023", *arguments], moved, "affine", capsys)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--pipeline", "poster203", "--threshold", "1"], "unknown pipeline 'poster203'; did you mean 'poster2023'"),
        (["--pipeline", "poster2023"], "give --threshold VALUE or --fit VAL_DIR"),
        (["--pipeline", "poster2023", "--threshold", "1", "--fit", "x"], "not allowed with argument"),
        (["--pipeline", "poster2023", "--threshold", "nan"], "expected a finite number"),
        (["--pipeline", "poster2023", "--threshold", "high"], "invalid float value: 'high'"),
        (["--threshold", "1"], "required: --pipeline"),
        (["--pipeline", "poster2023", "--fit", "nowhere"], "nowhere: expected a folder with validation maps"),
    ],
)
def test_bad_options(options, message, scan, tmp_path, capsys):
    arguments = ["apply", *options, scan[0], "--brain", scan[1], "--out", str(tmp_path / "mask.nii.gz")]
    check(arguments, "", message, capsys)


def test_no_healthy_voxel_to_fit_on(scan, validation, tmp_path, capsys):
    for part in ("map", "brain"):
        (validation / f"a_{part}.nii.gz").unlink()
    write(validation / "b_lesion.nii.gz", np.ones(SHAPE, np.uint8))
    arguments = ["--fit", str(validation), scan[0], "--brain", scan[1], "--out", str(tmp_path / "mask.nii.gz")]
    check(["apply", "--pipeline", "poster2023", *arguments], "", "no healthy voxel to fit on", capsys)


def test_mask_is_never_written_over_the_map(scan, capsys):
    arguments = ["apply", "--pipeline", "poster2023", "--threshold", "1", scan[0], "--out", scan[0]]
    check(arguments, scan[0], "overwrite the map", capsys)


def test_runs_as_a_process_without_traceback(tmp_path):
    code = "import sys; from uad_postproc.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "apply", "--pipeline", "poster2023", "--threshold", "1"]
    done = subprocess.run(
        [*command, "nowhere.nii.gz", "--out", "m.nii.gz"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "error: nowhere.nii.gz: no such file\n")
