"""Folding: every voxel has its place, and comes back to it."""

import pytest
import torch

from uad_models.networks.folding import folded, unfolded


def test_a_fold_takes_blocks_as_channels_and_puts_every_voxel_back() -> None:
    x = torch.arange(64.0).view(1, 1, 8, 8)
    together = folded(x, 2)
    assert together.shape == (1, 4, 4, 4)
    assert together[0, :, 0, 0].tolist() == [0.0, 1.0, 8.0, 9.0]
    assert torch.equal(unfolded(together, 2), x)


def test_volumes_fold_too_and_a_fold_of_one_changes_nothing() -> None:
    x = torch.arange(2 * 3 * 4 * 4 * 4.0).view(2, 3, 4, 4, 4)
    together = folded(x, 2)
    assert together.shape == (2, 24, 2, 2, 2)
    assert together[0, :8, 0, 0, 0].tolist() == [0.0, 1.0, 4.0, 5.0, 16.0, 17.0, 20.0, 21.0]
    assert torch.equal(unfolded(together, 2), x)
    assert torch.equal(folded(x, 1), x)


@pytest.mark.parametrize(("shape", "fold"), [((2, 3, 8, 12), 2), ((1, 2, 4, 8, 6), 2), ((1, 2, 9, 6), 3)])
def test_folding_loses_nothing(shape: tuple[int, ...], fold: int) -> None:
    x = torch.arange(float(torch.tensor(shape).prod())).reshape(shape)
    together = folded(x, fold)
    assert together.shape[1] == shape[1] * fold ** (x.ndim - 2)
    assert torch.equal(unfolded(together, fold), x)
