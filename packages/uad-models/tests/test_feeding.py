import multiprocessing
from contextlib import closing

import numpy as np
import pytest
import torch

from uad_data.arrays import ArraySpec, build_arrays
from uad_data.cohort import Cohort
from uad_data.errors import InputError
from uad_models.feeding import Feeder, batch_rows, read_batch
from uad_models.patches import FOREGROUND, patch_corners


def test_every_epoch_shows_every_row_once_in_another_order():
    epochs = [np.concatenate([batch_rows(12, 4, 3 * epoch + k, seed=5) for k in range(3)]) for epoch in range(3)]
    for order in epochs:
        assert sorted(order) == list(range(12))
    assert len({tuple(order) for order in epochs}) == 3


@pytest.mark.parametrize("batch_size", [5, 12, 30])
def test_a_batch_that_crosses_epochs_takes_the_end_of_one_and_the_start_of_the_next(batch_size):
    line = np.concatenate([batch_rows(12, 12, epoch, seed=5) for epoch in range(10)])
    for k in range(4):
        assert batch_rows(12, batch_size, k, seed=5).tolist() == line[k * batch_size : (k + 1) * batch_size].tolist()


def test_order_depends_on_the_seed_alone(store):
    rows = store.healthy_rows("train")
    first, again, other = (Feeder(store, rows, batch_size=8, seed=seed) for seed in (1, 1, 2))
    first.batch(0)
    assert torch.equal(first.batch(7)["image"], again.batch(7)["image"])
    assert not torch.equal(first.batch(7)["image"], other.batch(7)["image"])


def test_ranks_share_a_batch_and_a_sweep_without_overlap(store):
    rows = store.healthy_rows("train")
    whole = Feeder(store, rows, batch_size=8, seed=3)
    ranks = [Feeder(store, rows, batch_size=8, seed=3, rank=rank, world=2) for rank in range(2)]
    shares = [feeder.batch(2)["image"] for feeder in ranks]
    assert [len(share) for share in shares] == [4, 4]
    sums = torch.cat(shares).sum(dim=(1, 2, 3))
    assert torch.equal(sums.sort().values, whole.batch(2)["image"].sum(dim=(1, 2, 3)).sort().values)
    swept = [torch.cat([batch["image"] for batch in feeder.sweep()]) for feeder in ranks]
    expected = read_batch(store, rows)["image"]
    assert torch.equal(swept[0], expected[0::2])
    assert torch.equal(swept[1], expected[1::2])


def test_a_sweep_shows_every_row_once_in_order(store):
    rows = store.rows("val")
    batches = list(Feeder(store, rows, batch_size=7).sweep())
    assert [len(batch["image"]) for batch in batches][:-1] == [7] * (len(rows) // 7)
    assert torch.equal(torch.cat([batch["image"] for batch in batches]), read_batch(store, rows)["image"])


def test_a_batch_is_float32_images_and_boolean_brains_in_the_order_asked_for(store):
    rows = np.array([9, 2, 2, 30])
    batch = read_batch(store, rows)
    assert batch["image"].dtype == torch.float32
    assert batch["brain"].dtype == torch.bool
    assert batch["image"].shape == (4, 1, 16, 16)
    assert np.array_equal(batch["image"].numpy(), store.image[rows].astype(np.float32))
    assert np.array_equal(batch["brain"].numpy()[:, 0], store.brain[rows])


@pytest.fixture(scope="module")
def volumes(cohort_csv, tmp_path_factory):
    """The same cohort as volumes, 12 x 16 x 16."""
    spec = ArraySpec(size=(12, 16, 16))
    return build_arrays(Cohort.read(cohort_csv), spec, cache=tmp_path_factory.mktemp("volumes"), progress=False)


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_patches_are_pieces_of_their_volumes(volumes):
    rows = np.arange(len(volumes))
    feeder = Feeder(volumes, rows, batch_size=8, patch=(4, 8, 6))
    batch = feeder.batch(3)
    assert batch["image"].shape == (8, 1, 4, 8, 6)
    assert batch["brain"].shape == (8, 1, 4, 8, 6)
    assert batch["image"].dtype == torch.float32
    for row, image, brain in zip(rows, batch["image"][:, 0].numpy(), batch["brain"][:, 0].numpy(), strict=True):
        pieces = np.lib.stride_tricks.sliding_window_view(volumes.image[row, 0].astype(np.float32), (4, 8, 6))
        places = np.argwhere((pieces == image).all(axis=(-3, -2, -1)))
        masks = np.lib.stride_tricks.sliding_window_view(volumes.brain[row], (4, 8, 6))
        assert any(np.array_equal(masks[tuple(place)], brain) for place in places)
    assert not torch.equal(batch["image"], feeder.batch(4)["image"])


def test_patches_of_slices_and_of_the_whole_size_work_too(store, volumes):
    assert Feeder(store, np.arange(9), batch_size=4, patch=(8, 10)).batch(0)["image"].shape == (4, 1, 8, 10)
    whole = Feeder(volumes, np.arange(8), batch_size=8, patch=(12, 16, 16)).batch(0)
    assert same(whole, Feeder(volumes, np.arange(8), batch_size=8).batch(0))


def test_ranks_cut_patches_of_their_own(volumes):
    feeders = [Feeder(volumes, np.arange(8), batch_size=8, patch=(4, 4, 4), rank=rank, world=2) for rank in range(2)]
    assert [len(feeder.batch(0)["image"]) for feeder in feeders] == [4, 4]
    assert not torch.equal(feeders[0].batch(0)["image"], feeders[1].batch(0)["image"])


def test_a_share_of_the_patches_is_centred_on_the_brain(volumes):
    rows = np.zeros(600, int)
    brain = volumes.brain[0]
    anywhere, centred, default = (
        patch_corners(volumes, rows, (1, 1, 1), seed=(0,), foreground=share) for share in (0.0, 1.0, FOREGROUND)
    )
    inside = [brain[tuple(corners.T)].mean() for corners in (anywhere, centred, default)]
    assert inside[0] == pytest.approx(brain.mean(), abs=0.08)
    assert inside[1] == 1
    assert inside[2] == pytest.approx(FOREGROUND + (1 - FOREGROUND) * brain.mean(), abs=0.08)
    assert (anywhere.min(0) == 0).all()
    assert (anywhere.max(0) == (11, 15, 15)).all()
    large = patch_corners(volumes, rows, (12, 10, 4), seed=(0,), foreground=1.0)
    assert (large >= 0).all()
    assert (large <= (0, 6, 12)).all()


@pytest.mark.parametrize("patch", [(8, 8), (4, 8, 17)])
def test_a_patch_that_does_not_fit_is_refused(volumes, patch):
    with pytest.raises(InputError, match=r"patch: expected 3 sides up to \(12, 16, 16\)"):
        Feeder(volumes, np.arange(4), batch_size=2, patch=patch)


def test_a_sweep_is_whole_and_not_augmented(volumes):
    pytest.importorskip("batchgeneratorsv2")
    rows = np.arange(8)
    feeder = Feeder(volumes, rows, batch_size=8, patch=(6, 8, 16), augmentation="nnunet")
    batches = list(feeder.sweep())
    assert [len(batch["image"]) for batch in batches] == [2] * 4  # as many voxels as a batch of patches
    assert torch.equal(torch.cat([batch["image"] for batch in batches]), read_batch(volumes, rows)["image"])


def test_any_number_of_workers_gives_the_same_bits_from_any_batch_on(volumes):
    """Also with another number of threads here than there, and with the global random state as it was."""
    pytest.importorskip("batchgeneratorsv2")
    options = {"batch_size": 6, "seed": 4, "patch": (8, 8, 12), "augmentation": "nnunet"}
    rows = np.arange(8)
    here = Feeder(volumes, rows, **options)
    expected = [here.batch(k) for k in range(7)]
    plain = Feeder(volumes, rows, **(options | {"augmentation": "none"})).batch(3)
    assert not torch.equal(plain["image"], expected[3]["image"])
    assert not same(Feeder(volumes, rows, **(options | {"seed": 5})).batch(3), expected[3])
    torch.set_num_threads(2)
    try:
        assert same(Feeder(volumes, rows, **options).batch(5), expected[5])
    finally:
        torch.set_num_threads(1)
    state = torch.get_rng_state()
    for workers, first in ((1, 2), (4, 0)):
        with closing(Feeder(volumes, rows, workers=workers, **options)) as feeder:
            assert all(same(feeder.batch(k), expected[k]) for k in range(first, 7))
            assert multiprocessing.active_children()
        assert not multiprocessing.active_children()
    assert torch.equal(torch.get_rng_state(), state)


def test_workers_are_gone_after_an_error_whoever_holds_it(store):
    pytest.importorskip("batchgeneratorsv2")
    feeder = Feeder(store, np.arange(8), batch_size=4, augmentation="nnunet", workers=1)
    feeder.rows = np.full(8, 10**6)
    with pytest.raises(IndexError) as held:
        feeder.batch(0)
    assert not multiprocessing.active_children()
    assert "out of bounds" in str(held.value)


def test_no_workers_are_started_where_nothing_is_augmented(store):
    feeder = Feeder(store, np.arange(8), batch_size=4, workers=2)
    assert same(feeder.batch(0), Feeder(store, np.arange(8), batch_size=4).batch(0))
    assert not multiprocessing.active_children()


def test_kept_batches_are_not_read_again(store, monkeypatch):
    feeder = Feeder(store, np.arange(12), batch_size=4, keep=2)
    first, second = feeder.batch(0), feeder.batch(1)
    monkeypatch.setattr(feeder, "make", None)
    assert feeder.batch(0) is first
    assert feeder.batch(1) is second
    monkeypatch.undo()
    feeder.batch(2)
    assert feeder.batch(0) is not first


def test_augmentation_without_the_library_is_refused_before_training(store, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r'pip install "uad-data\[augmentation\]"'):
        Feeder(store, np.arange(8), batch_size=4, augmentation="nnunet")
