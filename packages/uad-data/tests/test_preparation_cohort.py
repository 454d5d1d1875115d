"""A cohort through a recipe: resumable, in any number of processes, and never half-written."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from filelock import FileLock

import uad_data.preparation.cohort as module
from uad_data.cohort import Cohort
from uad_data.errors import InputError
from uad_data.preparation.cohort import prepare_cohort
from uad_data.preparation.recipe import Recipe
from uad_data.preparation.way_back import WayBack

RECIPE = Recipe.from_dict(
    {
        "name": "t",
        "steps": [
            {"step": "reorient"},
            {"step": "resample", "spacing": 5},
            {"step": "brain_extraction", "extractor": "stripped"},
            {"step": "scale"},
        ],
        "arrays": {"size": [24, 24], "modalities": ["t1"]},
    }
)


@pytest.fixture
def raw(tmp_path) -> Cohort:
    """Four people, the third of whom was cut short in copying."""
    rows = []
    for n in range(4):
        rng = np.random.default_rng(n)
        volume = np.zeros((26, 30, 28), np.float32)
        volume[4:22, 4:26, 4:24] = rng.uniform(50, 100, (18, 22, 20))
        lesion = np.zeros(volume.shape, np.uint8)
        lesion[10:14, 10:15, 10:15] = n % 2
        for name, array in (("t1", volume), ("lesion", lesion)):
            path = tmp_path / "raw" / f"p{n}_{name}.nii.gz"
            path.parent.mkdir(exist_ok=True)
            nib.save(nib.Nifti1Image(array, np.diag([-5.0, 5.0, 6.0, 1.0])), path)
        rows.append(
            {
                "subject": f"p{n}",
                "session": "v1" if n == 1 else "",
                "pathology": "tumour" if n % 2 else "healthy",
                "split": "train" if n < 2 else "test",
                "image_t1": f"p{n}_t1.nii.gz",
                "lesion": f"p{n}_lesion.nii.gz",
                "age": "40",
            }
        )
    broken = tmp_path / "raw" / "p2_t1.nii.gz"
    broken.write_bytes(broken.read_bytes()[:3000])
    cohort = Cohort(pd.DataFrame(rows), tmp_path / "raw")
    cohort.write(tmp_path / "raw" / "cohort.csv")
    return cohort


def digest(folder) -> dict[str, str]:
    """Fingerprint every file; seconds differ from run to run and are left out."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.name == ".lock":
            continue
        content = path.read_bytes()
        if path.name == "prepare.json":
            record = json.loads(content)
            for step in record["steps"]:
                del step["seconds"]
            content = json.dumps(record).encode()
        found[str(path.relative_to(folder))] = hashlib.sha256(content).hexdigest()
    return found


def test_every_good_scan_is_there_and_the_bad_one_is_named(raw, tmp_path) -> None:
    outcome = prepare_cohort(raw, RECIPE, tmp_path / "out", progress=False)
    assert outcome.made == 3
    assert outcome.failed["subject"].tolist() == ["p2"]
    assert "cut short" in outcome.failed["error"][0]
    assert pd.read_csv(tmp_path / "out" / "failed.csv")["subject"].tolist() == ["p2"]
    cohort = Cohort.read(tmp_path / "out" / "cohort.csv")
    assert cohort.table["subject"].tolist() == ["p0", "p1", "p3"]
    assert cohort.table["age"].tolist() == ["40"] * 3
    assert cohort.table["split"].tolist() == ["train", "train", "test"]
    assert cohort.recipe == RECIPE.to_dict()
    scan = cohort.load(1)
    assert scan.subject == "p1"
    assert scan.session == "v1"
    assert scan.spacing == pytest.approx((5, 5, 5))
    assert scan.lesion.sum() * 125 == pytest.approx(4 * 5 * 5 * 150, rel=0.1)
    record = json.loads((tmp_path / "out" / cohort.table["sidecar"][1]).read_text())
    assert WayBack.from_dict(record).native_shape == (28, 30, 26)
    assert record["sources"]["t1"]["bytes"] == (tmp_path / "raw" / "p1_t1.nii.gz").stat().st_size
    assert record["versions"]["numpy"] == np.__version__


def test_what_stands_is_not_made_again_and_what_changed_is(raw, tmp_path) -> None:
    out = tmp_path / "out"
    prepare_cohort(raw, RECIPE, out, progress=False)
    before = {path: path.stat().st_mtime_ns for path in out.glob("p*/*")}
    assert prepare_cohort(raw, RECIPE, out, progress=False).made == 0
    assert {path: path.stat().st_mtime_ns for path in out.glob("p*/*")} == before
    source = tmp_path / "raw" / "p0_t1.nii.gz"
    os.utime(source, ns=(0, 0))
    assert prepare_cohort(raw, RECIPE, out, progress=False).made == 1
    assert prepare_cohort(raw, RECIPE.changed(settings={"resample.spacing": 6}), out, progress=False).made == 3
    assert Cohort.read(out / "cohort.csv").load(0).spacing == pytest.approx((6, 6, 6))


def test_a_mended_scan_is_taken_up(raw, tmp_path) -> None:
    out = tmp_path / "out"
    prepare_cohort(raw, RECIPE, out, progress=False)
    good, bad = (tmp_path / "raw" / f"p{n}_t1.nii.gz" for n in (3, 2))
    bad.write_bytes(good.read_bytes())
    assert prepare_cohort(raw, RECIPE, out, progress=False).made == 1
    assert not (out / "failed.csv").exists()


def test_two_processes_make_the_same_files(raw, tmp_path) -> None:
    prepare_cohort(raw, RECIPE, tmp_path / "one", progress=False)
    prepare_cohort(raw, RECIPE, tmp_path / "two", workers=2, progress=False)
    assert digest(tmp_path / "one") == digest(tmp_path / "two")


def test_a_dask_cluster_makes_the_same_files(raw, tmp_path) -> None:
    distributed = pytest.importorskip("distributed", reason="Dask is an extra: pip install 'uad-data[dask]'")
    prepare_cohort(raw, RECIPE, tmp_path / "one", progress=False)
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
    ) as cluster:
        prepare_cohort(raw, RECIPE, tmp_path / "dask", scheduler=cluster.scheduler_address, progress=False)
    assert digest(tmp_path / "one") == digest(tmp_path / "dask")


def test_killed_at_any_moment_and_started_again_gives_the_same_files(raw, tmp_path) -> None:
    prepare_cohort(raw, RECIPE, tmp_path / "whole", progress=False)
    out = tmp_path / "killed"
    (tmp_path / "recipe.json").write_text(json.dumps(RECIPE.to_dict()))
    slow = (
        "import sys, time, nibabel, uad_data.preparation.cohort as m\n"
        "save = nibabel.save\n"
        "def slowly(image, path):\n    save(image, path)\n    time.sleep(0.15)\n"
        "nibabel.save = slowly\n"
        "from uad_data.cohort import Cohort\n"
        "from uad_data.preparation.recipe import read_recipe\n"
        "print('ready', flush=True)\n"
        "m.prepare_cohort(Cohort.read(sys.argv[1]), read_recipe(sys.argv[2]), sys.argv[3], progress=False)\n"
    )
    for wait in (0.1, 0.35, 0.6):
        process = subprocess.Popen(
            [sys.executable, "-c", slow, tmp_path / "raw" / "cohort.csv", tmp_path / "recipe.json", out],
            stdout=subprocess.PIPE,
        )
        assert process.stdout.readline() == b"ready\n"
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        for folder in out.glob("p*"):
            assert {"t1.nii.gz", "brain.nii.gz", "lesion.nii.gz", "prepare.json"} == {p.name for p in folder.iterdir()}
    prepare_cohort(Cohort.read(tmp_path / "raw" / "cohort.csv"), RECIPE, out, progress=False)
    assert digest(out) == digest(tmp_path / "whole")


def test_two_commands_do_not_write_to_one_folder(raw, tmp_path) -> None:
    (tmp_path / "out").mkdir()
    with FileLock(tmp_path / "out" / ".lock"), pytest.raises(InputError, match="another 'uad-data prepare'"):
        prepare_cohort(raw, RECIPE, tmp_path / "out", progress=False)


def test_no_scan_at_all_is_an_error(raw, tmp_path) -> None:
    with pytest.raises(InputError, match=r"none of 1 scans could be prepared; the first: .*p2_t1"):
        prepare_cohort(Cohort(raw.table.iloc[2:3], raw.root), RECIPE, tmp_path / "out", progress=False)


def test_what_a_library_throws_stops_one_scan_only(raw, tmp_path, monkeypatch) -> None:
    real = module.prepare_raw

    def prepare(images, *arguments, **names):
        if names["subject"] == "p0":
            raise RuntimeError("ITK gave up")
        return real(images, *arguments, **names)

    monkeypatch.setattr(module, "prepare_raw", prepare)
    outcome = prepare_cohort(raw, RECIPE, tmp_path / "out", progress=False)
    assert outcome.failed["subject"].tolist() == ["p0", "p2"]
    assert outcome.failed["error"][0].endswith("p0_t1.nii.gz: RuntimeError: ITK gave up")


def test_a_full_disk_stops_everything_and_leaves_nothing_half_written(raw, tmp_path, monkeypatch) -> None:
    real = module._save

    def full(volume, affine, path):
        if "p1" in str(path):
            raise OSError(28, "No space left on device")
        real(volume, affine, path)

    monkeypatch.setattr(module, "_save", full)
    with pytest.raises(InputError, match="the disk is full"):
        prepare_cohort(raw, RECIPE, tmp_path / "out", progress=False)
    assert [path.name for path in (tmp_path / "out").glob("*p*") if path.is_dir()] == ["p0"]


def test_no_scheduler_there(raw, tmp_path) -> None:
    pytest.importorskip("distributed", reason="Dask is an extra: pip install 'uad-data[dask]'")
    with pytest.raises(InputError, match="expected a Dask scheduler, found none"):
        prepare_cohort(raw, RECIPE, tmp_path / "out", scheduler="tcp://127.0.0.1:9", progress=False)
