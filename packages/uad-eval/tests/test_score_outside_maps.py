"""Maps of outside models, written by a script of NumPy and nibabel alone, scored by the command without torch."""

import os
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest

from uad_eval.cli import main
from uad_eval.results import read_table

MAKE = """
import sys
from pathlib import Path
import nibabel as nib
import numpy as np

out = Path(sys.argv[1])
rng = np.random.default_rng(0)
affine = np.array([[-2.0, 0, 0, 40], [0, 2, 0, -30], [0, 0, 3, 5], [0, 0, 0, 1]])

def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, affine), path)

for i in range(8):
    truth = np.zeros((12, 11, 10), np.uint8)
    if i < 6:
        truth[3:7, 3:7, 2 + i % 3 : 6] = 1
    brain = np.zeros_like(truth)
    brain[1:-1, 1:-1, 1:-1] = 1
    for method, strength in (("good", 3.0), ("fair", 1.0), ("poor", 0.2)):
        noise = rng.normal(size=truth.shape)
        score = 1 / (1 + np.exp(-(noise + strength * truth - 1)))
        save(out / "maps" / method / f"sub-{i:02d}_map.nii.gz", score.astype(np.float32))
    save(out / "truth" / f"sub-{i:02d}_lesion.nii.gz", truth)
    save(out / "brain" / f"sub-{i:02d}_brain.nii.gz", brain)
assert not [name for name in sys.modules if name.split(".")[0] in ("uad_eval", "uad_data", "uad_models", "torch")]
"""

BLOCKED = """
import importlib
import pkgutil
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "uad_data", "uad_models", "uad_postproc"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocked())
import uad_eval

for module in pkgutil.walk_packages(uad_eval.__path__, "uad_eval."):
    if not module.name.startswith("uad_eval.experiment"):
        importlib.import_module(module.name)
from uad_eval.cli import main

sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("outside")
    subprocess.run([sys.executable, "-c", MAKE, str(folder)], check=True)
    return folder


@pytest.fixture
def own(made, tmp_path):
    """Links to the made files, of which a test spoils one."""
    for path in made.rglob("*.nii.gz"):
        link = tmp_path / path.relative_to(made)
        link.parent.mkdir(parents=True, exist_ok=True)
        os.link(path, link)
    return tmp_path


def score(folder, *more):
    return main(["score", str(folder / "maps" / "good"), str(folder / "truth"), *more])


def rewrite(path, change, affine=None):
    image = nib.load(path)
    array = change(np.asarray(image.dataobj))
    path.unlink()
    nib.save(nib.Nifti1Image(array, image.affine if affine is None else affine), path)


def test_without_torch_and_sibling_packages_the_table_the_tests_and_the_page_are_made(made, tmp_path):
    out, page = tmp_path / "results.csv", tmp_path / "page.html"
    given = ["score", made / "maps", made / "truth", "--brain", made / "brain", "--out", out, "--report", page]
    given += ["--lesion-validation-threshold", "0.6", "--froc", "--probabilities"]
    ran = subprocess.run([sys.executable, "-c", BLOCKED, *map(str, given)], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.splitlines()
    ranked = [line.split()[1] for line in lines if line[:4].strip().isdigit()]
    assert ranked == ["good", "fair", "poor"]
    assert sum(" − " in line for line in lines) == 3
    assert "mean ranks: good 1.00" in ran.stdout
    results = read_table("results", out)
    assert set(results["method"]) == {"good", "fair", "poor"}
    pooled = results[(results["subject"] == "pooled") & (results["method"] == "good")].set_index("metric")["value"]
    assert {"froc_score", "expected_calibration_error", "lesion_f1", "scan_auroc"} <= set(pooled.index)
    mean = results[(results["subject"] == "mean") & (results["method"] == "good")].set_index("metric")["value"]
    assert mean["hausdorff_95"] > 0
    html = page.read_text(encoding="utf-8")
    assert html.count("data:image/png;base64,") == 4 + 3 + 2
    assert "<script" not in html
    assert "http" not in html.replace("http-equiv", "")
    assert (tmp_path / "results-tests.csv").is_file()


def test_a_folder_per_method_may_be_named_one_by_one(made, capsys):
    maps = [str(made / "maps" / name) for name in ("poor", "good")]
    assert main(["score", *maps, str(made / "truth"), "--rank-by", "auroc"]) == 0
    assert "2 methods on truth: 8 scans of 8 subjects" in capsys.readouterr().out
    assert main(["score", maps[0], maps[0], str(made / "truth")]) == 2
    assert "same name" in capsys.readouterr().err
    assert main(["score", *maps, str(made / "truth"), "--method", "one"]) == 2


def test_slices_and_the_rule_for_empty_cases_stand_in_every_row(made, tmp_path, capsys):
    out = tmp_path / "r.csv"
    more = ["--lesion-validation-threshold", "2", "--out", str(out), "--slices", "0.25:0.75"]
    values = {}
    for rule in ("lesion", "nnunet", "brats"):
        assert score(made, *more, "--empty-cases", rule) == 0
        results = read_table("results", out)
        assert results["scope"].str.contains("0.25:0.75 of the height").all()
        assert results["scope"].str.contains(f"empty cases as {rule}").all() == (rule != "lesion")
        mean = results[results["subject"] == "mean"].set_index("metric")["value"]
        values[rule] = (mean["dice"], mean["hausdorff_95"])
    # Nothing is marked: six scans have a lesion, two have none.
    assert values["lesion"] == (0, pytest.approx(np.nan, nan_ok=True))
    assert values["nnunet"] == (0, pytest.approx(np.nan, nan_ok=True))
    assert values["brats"] == (2 / 8, 374 * 6 / 8)
    assert main(["score", str(made / "maps" / "good"), str(made / "truth"), "--slices", "0.7:0.2"]) == 2
    assert "0 <= LOW < HIGH <= 1" in capsys.readouterr().err


def test_pathologies_are_read(made, tmp_path, capsys):
    table = tmp_path / "people.csv"
    table.write_text("subject,pathology\n" + "".join(f"sub-{i:02d},{'ab'[i % 2]}\n" for i in range(8)))
    assert score(made, "--pathologies", str(table), "--out", str(tmp_path / "r.csv")) == 0
    assert set(read_table("results", tmp_path / "r.csv")["pathology"]) == {"", "a", "b"}
    table.write_text("subject\nsub-00\n")
    assert score(made, "--pathologies", str(table)) == 2
    assert "pathology is missing" in capsys.readouterr().err


def wrong_grid(folder):
    rewrite(folder / "maps" / "good" / "sub-03_map.nii.gz", lambda a: a[:-1])


def flipped_affine(folder):
    path = folder / "maps" / "good" / "sub-03_map.nii.gz"
    rewrite(path, lambda a: a, nib.load(path).affine @ np.diag([-1.0, 1, 1, 1]))


def other_voxels(folder):
    path = folder / "maps" / "good" / "sub-03_map.nii.gz"
    rewrite(path, lambda a: a, nib.load(path).affine @ np.diag([1.0, 1, 2, 1]))


def missing_case(folder):
    (folder / "maps" / "good" / "sub-03_map.nii.gz").unlink()


def not_a_number(folder):
    rewrite(folder / "maps" / "good" / "sub-03_map.nii.gz", lambda a: np.where(a > 0.5, np.nan, a))


def constant(folder):
    rewrite(folder / "maps" / "good" / "sub-03_map.nii.gz", lambda a: np.zeros_like(a))


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (wrong_grid, "expected the grid of sub-03_map.nii.gz, shape (11, 11, 10), found shape (12, 11, 10)"),
        (flipped_affine, "axes that run LAS where the map's run RAS (flipped or turned affine)"),
        (other_voxels, "voxels of 2 x 2 x 3 mm where the map's are 2 x 2 x 6 (affine)"),
        (missing_case, "expected a map of case sub-03, found none; 1 of 8 cases lack one"),
        (not_a_number, "expected finite values, found NaN or infinity; mend the map"),
        (constant, "expected an anomaly map, found the value 0 in every voxel"),
    ],
)
def test_maps_that_cannot_be_scored_are_named_in_one_line(own, spoil, expected, capsys):
    spoil(own)
    assert score(own) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert "sub-03" in error
    assert expected in error


def test_a_residual_is_no_probability(own, capsys):
    rewrite(own / "maps" / "good" / "sub-00_map.nii.gz", lambda a: 3 * a)
    assert score(own, "--probabilities") == 2
    assert "good: calibration: expected probabilities from 0 to 1" in capsys.readouterr().err
