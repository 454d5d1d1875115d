import numpy as np
import pytest
import torch

from uad_models.feeding import Feeder, batch_rows, read_batch


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
