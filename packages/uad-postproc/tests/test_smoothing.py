import numpy as np
import pytest
from scipy import ndimage

from uad_postproc import Context, InputError
from uad_postproc.steps import GaussianFilter, MajorityFilter, MedianFilter


def test_median_removes_a_line_two_wide_and_keeps_an_edge():
    x = np.zeros((1, 15, 15), np.float32)
    x[0, :, 2:4] = 1
    x[0, :, 8:] = 2
    out = MedianFilter(size=5).apply(x, Context(np.ones(x.shape, bool)))
    np.testing.assert_array_equal(out[0, 7], [0] * 8 + [2] * 5 + [2, 2])


def test_outside_brain_enters_as_zero():
    brain = np.zeros((1, 9, 9), bool)
    brain[0, :, 4:] = True
    x = np.full(brain.shape, 5, np.float32)  # also outside, where it must not count
    out = MedianFilter(size=3).apply(x, Context(brain))
    # Two of three columns of the window are brain at column 4: 6 of 9 voxels; in the corner row 4 of 9.
    np.testing.assert_array_equal(out[0, 4], [0, 0, 0, 0, 5, 5, 5, 5, 5])
    assert out[0, 0, 4] == 0


def test_gaussian_equals_scipy_far_from_the_edge_and_keeps_a_constant_everywhere(rng):
    x = rng.random((2, 30, 31), dtype=np.float32)
    context = Context(np.ones(x.shape, bool))
    expected = ndimage.gaussian_filter(x, (0, 1.5, 1.5), truncate=3)
    inner = (slice(None), slice(6, -6), slice(6, -6))
    np.testing.assert_allclose(GaussianFilter(radius=1.5).apply(x, context)[inner], expected[inner], rtol=1e-4)
    brain = rng.random(x.shape) < 0.6
    even = GaussianFilter(radius=2).apply(np.full(x.shape, 0.7, np.float32), Context(brain))
    np.testing.assert_allclose(even, 0.7 * brain, rtol=1e-5)


def test_gaussian_in_mm_follows_the_spacing(rng):
    x = rng.random((1, 12, 14, 16), dtype=np.float32)
    brain = np.ones(x.shape, bool)
    out = GaussianFilter(radius=2, unit="mm").apply(x, Context(brain, (4.0, 1.0, 2.0)))
    expected = ndimage.gaussian_filter(x, (0, 0.5, 2, 1), mode="constant", truncate=3)
    weight = ndimage.gaussian_filter(np.ones_like(x), (0, 0.5, 2, 1), mode="constant", truncate=3)
    np.testing.assert_allclose(out, expected / weight, rtol=1e-5)
    with pytest.raises(InputError, match=r"GaussianFilter: radius"):
        GaussianFilter(radius=0)


def test_majority_by_hand():
    mask = np.zeros((1, 5, 5), bool)
    mask[0, 1:4, 1:4] = True
    mask[0, 2, 2] = False
    expected = [[0, 0, 0, 0, 0], [0, 0, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 0, 0], [0, 0, 0, 0, 0]]
    np.testing.assert_array_equal(MajorityFilter(size=3).apply(mask, Context(np.ones(mask.shape, bool)))[0], expected)


@pytest.mark.parametrize("shape", [(2, 13, 14), (2, 8, 9, 10)])
@pytest.mark.parametrize("size", [3, 7])
def test_majority_is_the_median_of_a_mask(shape, size, rng):
    mask = rng.random(shape) < 0.5
    expected = ndimage.median_filter(mask.astype(np.uint8), size=(1, *(size,) * (len(shape) - 1)), mode="constant") > 0
    np.testing.assert_array_equal(MajorityFilter(size=size).apply(mask, Context(np.ones(shape, bool))), expected)


@pytest.mark.parametrize("step", [MedianFilter, MajorityFilter])
@pytest.mark.parametrize("size", [4, 1, -3, 5.0])
def test_window_without_a_middle_is_refused(step, size):
    with pytest.raises(InputError, match="size: expected an odd number"):
        step(size=size)
