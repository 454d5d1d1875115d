import errno
import os

import numpy as np
import pytest
import torch

from uad_data.arrays import ArraySpec
from uad_data.cohort import Cohort
from uad_data.errors import InputError
from uad_models.methods.ae import AE
from uad_models.predict import predict_items, predict_rows, predict_volume
from uad_models.registry import create


@pytest.fixture
def method():
    torch.manual_seed(0)
    return create("ae", size=(16, 16), channels=(8, 8)).eval()


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


def test_scores_that_nobody_asks_for_are_not_computed(store, method, tmp_path, monkeypatch):
    rows = store.rows("test")[:5]
    predict_rows(method, store, rows, tmp_path / "maps.npy")
    monkeypatch.setattr(method, "anomaly_score", None)
    scores = predict_rows(method, store, rows, tmp_path / "alone.npy", scored=False)
    assert scores.shape == (0,)
    np.testing.assert_array_equal(np.load(tmp_path / "alone.npy"), np.load(tmp_path / "maps.npy"))


class Told(AE):
    """Its map, image and score are the height that it is told."""

    covariates = ("height",)

    def anomaly_map(self, x, *, height=None):
        return torch.ones_like(x[:, :1]) * height.view(-1, 1, 1, 1)

    def reconstruct(self, x, *, height=None):
        return self.anomaly_map(x, height=height) + 1

    def anomaly_score(self, x, *, height=None):
        return height + 2


def test_a_method_is_told_the_covariates_that_it_asks_for(store, cohort_csv, method, tmp_path):
    told, rows = Told(method.config), store.rows("test")[::-1][:9]
    scores = predict_rows(
        told, store, rows, tmp_path / "maps.npy", reconstruction_out=tmp_path / "again.npy", batch_size=4
    )
    height = store.height[rows]
    assert len(np.unique(height)) > 3
    np.testing.assert_allclose(np.load(tmp_path / "maps.npy")[:, 3, 3], height)
    np.testing.assert_allclose(np.load(tmp_path / "again.npy")[:, 0, 3, 3], height + 1)
    np.testing.assert_allclose(scores, height + 2)
    items, maps = predict_items(told, Cohort.read(cohort_csv).load(1, modalities=("flair",)), store.spec, batch_size=4)
    np.testing.assert_allclose(maps[:, 3, 3], items.height)
    assert len(np.unique(items.height)) == len(items.height)


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


def test_every_slice_with_brain_gets_a_map_whatever_training_used(method, cohort_csv):
    scan = Cohort.read(cohort_csv).load(0, modalities=("flair",))
    volume = predict_volume(method, scan, ArraySpec(size=(16, 16), slices="centre:2"), batch_size=3)
    assert volume.shape == scan.brain.shape
    assert np.array_equal(volume.any(axis=(1, 2)), scan.brain.any(axis=(1, 2)))


def test_items_come_with_their_way_back(method, cohort_csv):
    scan = Cohort.read(cohort_csv).load(1, modalities=("flair",))
    spec = ArraySpec(size=(16, 16))
    items, maps = predict_items(method, scan, spec, batch_size=4)
    assert maps.shape == items.brain.shape == (int(scan.brain.any(axis=(1, 2)).sum()), 16, 16)
    volume = predict_volume(method, scan, spec)
    np.testing.assert_allclose(items.to_native(maps) * scan.brain, volume, atol=1e-6)
    assert not volume[~scan.brain].any()
