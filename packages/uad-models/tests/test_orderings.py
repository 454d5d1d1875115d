"""Every order visits every place once, and each goes where its name says."""

import math

import numpy as np
import pytest
import torch

from uad_models.sequence.orderings import ORDERINGS, RASTERS, ordering

GRIDS = ((8, 8), (5, 7), (1, 1), (4, 4, 4), (2, 3, 5))
every_grid = pytest.mark.parametrize("grid", GRIDS, ids=str)
every_ordering = pytest.mark.parametrize("name", ORDERINGS)


def strides(name: str, grid: tuple[int, ...]) -> np.ndarray:
    """How far each step goes, along all axes together."""
    places = np.stack(np.unravel_index(ordering(name, grid).numpy(), grid))
    return np.abs(np.diff(places, axis=1)).sum(axis=0)


@every_ordering
@every_grid
def test_an_ordering_is_a_permutation_and_its_inverse_undoes_it(name, grid):
    order, codes = ordering(name, grid), torch.rand(math.prod(grid))
    assert order.sort().values.tolist() == list(range(len(codes)))
    assert torch.equal(codes[order][order.argsort()], codes)


def test_rasters_of_a_slice_by_hand():
    expected = {
        "raster_0": [0, 1, 2, 3, 4, 5],
        "raster_1": [2, 1, 0, 5, 4, 3],
        "raster_2": [3, 4, 5, 0, 1, 2],
        "raster_3": [5, 4, 3, 2, 1, 0],
        "raster_4": [0, 3, 1, 4, 2, 5],
        "raster_7": [5, 2, 4, 1, 3, 0],
    }
    assert {name: ordering(name, (2, 3)).tolist() for name in expected} == expected


@pytest.mark.parametrize("grid", [(4, 4), (4, 4, 4)], ids=str)
def test_the_eight_rasters_differ(grid):
    assert len({tuple(ordering(name, grid).tolist()) for name in RASTERS}) == 8


def test_a_spiral_by_hand():
    assert ordering("spiral", (3, 3)).tolist() == [0, 1, 2, 5, 8, 7, 6, 3, 4]


@every_grid
def test_a_spiral_goes_step_by_step(grid):
    assert (strides("spiral", grid) == 1).all()


@pytest.mark.parametrize("grid", [(2, 2), (8, 8), (2, 2, 2), (8, 8, 8)], ids=str)
def test_hilberts_curve_goes_step_by_step(grid):
    assert (strides("hilbert", grid) == 1).all()


def test_hilberts_curve_stays_in_a_quarter_until_it_is_full():
    rows, columns = np.unravel_index(ordering("hilbert", (8, 8)).numpy().reshape(4, 16), (8, 8))
    assert ((rows // 4 == rows[:, :1] // 4) & (columns // 4 == columns[:, :1] // 4)).all()


def test_a_random_order_is_the_same_in_every_run_and_no_raster():
    assert torch.equal(ordering("random", (5, 5)), ordering("random", (5, 5)))
    assert strides("random", (5, 5)).mean() > 2
