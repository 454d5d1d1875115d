import numpy as np
import pytest
from scipy.stats import rankdata

from uad_postproc import Context, InputError, fuse


@pytest.fixture
def case(rng):
    brain = rng.random((3, 8, 9)) < 0.7
    return [rng.integers(0, 9, brain.shape).astype(float), rng.random(brain.shape)], Context(brain)


def test_mean_and_max(case):
    maps, context = case
    np.testing.assert_allclose(fuse(maps, context), np.mean(maps, axis=0) * context.brain, rtol=1e-6)
    np.testing.assert_allclose(fuse(maps, context, how="max"), np.max(maps, axis=0) * context.brain, rtol=1e-6)
    below = [-1 - each for each in maps]
    np.testing.assert_allclose(fuse(below, context, how="max"), np.max(below, axis=0) * context.brain, rtol=1e-6)


def test_ranks_equal_scipy_and_know_no_unit(case):
    maps, context = case
    fused = fuse(maps, context, how="rank")
    for i, brain in enumerate(context.brain):
        ranks = [(rankdata(each[i][brain]) - 1) / (brain.sum() - 1) for each in maps]
        np.testing.assert_allclose(fused[i][brain], np.mean(ranks, axis=0), atol=1e-6)
    np.testing.assert_array_equal(fuse([np.exp(maps[0]), 1000 * maps[1]], context, how="rank"), fused)


def test_outside_the_brain_is_not_looked_at(case):
    maps, context = case
    wild = [np.where(context.brain, each, np.nan) for each in maps]
    for how in ("mean", "max", "rank"):
        np.testing.assert_array_equal(fuse(wild, context, how=how), fuse(maps, context, how=how))
        empty = Context(np.zeros_like(context.brain))
        assert not fuse(wild, empty, how=how).any()


def test_bad_input(case):
    maps, context = case
    with pytest.raises(InputError, match="at least one map"):
        fuse([], context)
    with pytest.raises(InputError, match=r"map 1: expected shape \(3, 8, 9\), found \(2, 8, 9\)"):
        fuse([maps[0], maps[1][:2]], context)
    with pytest.raises(InputError, match="map 0 holds NaN"):
        fuse([np.full_like(maps[0], np.nan)], context)
    with pytest.raises(InputError, match=r"how: expected one of.*'median'"):
        fuse(maps, context, how="median")
