import errno
import os
from pathlib import Path

import imageio.v3 as imageio
import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import tifffile
import torch

from uad_data.arrays import ArraySpec, build_arrays
from uad_data.cohort import Cohort
from uad_data.errors import InputError
from uad_models.methods.ae import AE
from uad_models.predict import map_path, predict_cohort, predict_rows, predict_scan, predict_volume, stem
from uad_models.registry import create
from uad_models.training import fit

REAL_DATA = os.environ.get("UAD_REAL_DATA")


@pytest.fixture
def method():
    torch.manual_seed(0)
    return create("ae", size=(16, 16), channels=(8, 8)).eval()


@pytest.fixture
def run(store, tmp_path):
    fit("intensity", store, tmp_path / "run", progress=False)
    return tmp_path / "run"


def test_rows_are_streamed_in_the_order_asked_for(store, method, tmp_path):
    rows = store.rows("test")[::-1][:9]
    scores = predict_rows(
        method, store, rows, tmp_path / "maps.npy", reconstruction_out=tmp_path / "again.npy", batch_size=4
    )
    x = torch.from_numpy(store.batch(rows)["image"])
    with torch.no_grad():
        maps, again, expected = method.anomaly_map(x)[:, 0], method.reconstruct(x), method.anomaly_score(x)
    for path, tensor in (("maps.npy", maps), ("again.npy", again)):
        array = np.load(tmp_path / path, mmap_mode="r")
        assert array.dtype == np.float32
        torch.testing.assert_close(torch.tensor(array), tensor)
    torch.testing.assert_close(torch.from_numpy(scores), expected)


def test_no_rows_give_an_empty_file(store, method, tmp_path):
    assert predict_rows(method, store, np.arange(0), tmp_path / "maps.npy").shape == (0,)
    assert np.load(tmp_path / "maps.npy").shape == (0, 16, 16)


def test_map_score_and_reconstruction_share_one_reconstruction(store, method, tmp_path, monkeypatch):
    calls = []
    real = AE.reconstruct
    monkeypatch.setattr(AE, "reconstruct", lambda self, x: calls.append(len(x)) or real(self, x))
    rows = store.rows("test")[:6]
    predict_rows(method, store, rows, tmp_path / "a.npy", reconstruction_out=tmp_path / "b.npy", batch_size=4)
    assert calls == [4, 2]
    assert "reconstruct" not in vars(method)


def test_a_full_disk_leaves_the_earlier_maps(store, method, tmp_path, monkeypatch):
    path, rows = tmp_path / "maps.npy", store.rows("test")[:3]
    predict_rows(method, store, rows, path)
    before = path.read_bytes()
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left on device")))
    with pytest.raises(InputError, match=r"maps\.npy cannot be written: .*No space left"):
        predict_rows(method, store, rows[:1], path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["maps.npy"]


def test_a_scan_gets_a_map_in_its_own_grid(run, cohort_csv, tmp_path):
    scan = cohort_csv.parent / "s1_flair.nii.gz"
    predict_scan(run, [scan], tmp_path / "map.nii.gz", brain=cohort_csv.parent / "s1_brain.nii.gz")
    image, found = nib.load(scan), nib.load(tmp_path / "map.nii.gz")
    assert found.shape == image.shape
    assert np.array_equal(found.affine, image.affine)
    brain = nib.load(cohort_csv.parent / "s1_brain.nii.gz").get_fdata() > 0
    values = found.get_fdata()
    assert np.all(values[~brain] == 0)
    # The intensity method's map is the scaled scan: its lesion must lie where the scan's lies, not mirrored.
    lesion = nib.load(cohort_csv.parent / "s1_lesion.nii.gz").get_fdata() > 0
    assert values[lesion].mean() > 1.3 * values[np.flip(lesion, 0)].mean()
    assert values[lesion].mean() > 1.3 * values[np.flip(lesion, 1)].mean()
    assert np.corrcoef(values[brain], image.get_fdata()[brain])[0, 1] > 0.7


def test_without_a_mask_the_brain_is_found(run, cohort_csv, tmp_path):
    predict_scan(run, [cohort_csv.parent / "s1_flair.nii.gz"], tmp_path / "map.nii.gz")
    brain = nib.load(cohort_csv.parent / "s1_brain.nii.gz").get_fdata() > 0
    assert (nib.load(tmp_path / "map.nii.gz").get_fdata()[brain] != 0).mean() > 0.9


def test_every_slice_with_brain_gets_a_map_whatever_training_used(method, cohort_csv):
    scan = Cohort.read(cohort_csv).load(0, modalities=("flair",))
    volume = predict_volume(method, scan, ArraySpec(size=(16, 16), slices="centre:2"), batch_size=3)
    assert volume.shape == scan.brain.shape
    assert np.array_equal(volume.any(axis=(1, 2)), scan.brain.any(axis=(1, 2)))


def test_volumes_are_predicted_whole(cohort_csv, tmp_path):
    spec = ArraySpec(size=(8, 8, 8), modalities=("flair", "t1"))
    store = build_arrays(Cohort.read(cohort_csv), spec, cache=tmp_path / "cache", progress=False)
    train = {"steps": 2, "batch_size": 2}
    fit("ae", store, tmp_path / "run", config={"channels": (8,)}, train=train, progress=False)
    pair = [cohort_csv.parent / f"s1_{name}.nii.gz" for name in ("flair", "t1")]
    predict_scan(tmp_path / "run", pair, tmp_path / "map.nii.gz")
    assert nib.load(tmp_path / "map.nii.gz").shape == nib.load(pair[0]).shape
    with pytest.raises(InputError, match=r"needs 2 sequence\(s\) of a scan, in this order: flair, t1; found 1"):
        predict_scan(tmp_path / "run", pair[:1], tmp_path / "map.nii.gz")


def test_a_cohort_gets_a_map_per_scan(run, cohort_csv, tmp_path):
    cohort = Cohort.read(cohort_csv).select(split="test")
    paths = predict_cohort(run, cohort, tmp_path / "maps", progress=False)
    assert [path.name for path in paths] == ["s6_map.nii.gz", "s7_map.nii.gz"]
    assert all(nib.load(path).shape == (28, 24, 20) for path in paths)


def test_pictures_give_a_tiff(run, tmp_path):
    picture = np.zeros((30, 26), np.uint8)
    picture[4:26, 5:21] = 100 + np.arange(16)
    picture[8:12, 7:11] = 250
    imageio.imwrite(tmp_path / "head.png", picture)
    table = pd.DataFrame([{"subject": "p", "pathology": "", "session": "2", "image_flair": "head.png"}])
    (path,) = predict_cohort(run, Cohort(table, tmp_path), tmp_path / "maps", progress=False)
    assert path.name == "p_2_map.tif"
    found = tifffile.imread(path)
    assert found.shape == picture.shape
    assert found[8:12, 7:11].mean() > 1.3 * found[14:24, 7:18].mean() > 0


@pytest.mark.parametrize(
    ("source", "name"),
    [("a/scan.nii.gz", "scan"), ("scan.v2.nii", "scan.v2"), ("case/case_*[0-9].tif#1", "case_0-9"), ("*.png", "scan")],
)
def test_maps_are_named_after_their_scan(source, name):
    assert stem(source) == name
    ending = "nii.gz" if ".nii" in source else "tif"
    assert map_path("out", stem(source), source) == Path(f"out/{name}_map.{ending}")


def test_a_map_that_cannot_be_written_is_refused(run, cohort_csv, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        predict_scan(run, [cohort_csv.parent / "s1_flair.nii.gz"], tmp_path / "file" / "map.nii.gz")


@pytest.mark.skipif(not REAL_DATA, reason="UAD_REAL_DATA is not set")
def test_a_real_scan_gets_a_map_in_its_own_grid(cohort_csv, tmp_path):
    (scan,) = Path(REAL_DATA or "").glob("ms/mni/patient07/FLAIR*.nii.gz")
    spec = ArraySpec(size=(128, 128))
    store = build_arrays(Cohort.read(cohort_csv), spec, cache=tmp_path / "cache", progress=False)
    fit("intensity", store, tmp_path / "run", progress=False)
    predict_scan(tmp_path / "run", [scan], tmp_path / "map.nii.gz")
    image, found = nib.load(scan), nib.load(tmp_path / "map.nii.gz")
    assert found.shape == image.shape
    assert np.array_equal(found.affine, image.affine)
    values, brain = found.get_fdata(), image.get_fdata() > 0
    assert brain.sum() < 1.2 * np.count_nonzero(values) < 1.5 * brain.sum()
    assert np.corrcoef(values[brain], image.get_fdata()[brain])[0, 1] > 0.85
