import numpy as np
import pytest
from scipy import ndimage

from uad_postproc.steps import running_median as module
from uad_postproc.steps.running_median import running_median


@pytest.mark.parametrize("size", [3, 5, 7])
@pytest.mark.parametrize("shape", [(3, 17, 23), (2, 9, 8, 11), (1, 2, 3), (2, 1, 1, 1)])
def test_equals_scipy(shape, size, rng):
    x = rng.normal(size=shape).astype(np.float32)
    window = (1, *(size,) * (len(shape) - 1))
    np.testing.assert_array_equal(running_median(x, size=size), ndimage.median_filter(x, size=window, mode="constant"))


def test_equals_scipy_across_the_border_of_blocks(rng, monkeypatch):
    monkeypatch.setattr(module, "_BLOCK", 37)
    x = rng.integers(0, 4, size=(4, 20, 21)).astype(np.float32)
    np.testing.assert_array_equal(running_median(x, size=5), ndimage.median_filter(x, size=(1, 5, 5), mode="constant"))


def test_any_memory_order(rng):
    x = rng.random((3, 9, 12), dtype=np.float32)
    expected = running_median(x, size=5)
    np.testing.assert_array_equal(running_median(np.asfortranarray(x), size=5), expected)
    np.testing.assert_array_equal(running_median(x[:, :, ::-1], size=5), expected[:, :, ::-1])


def test_unneeded_comparisons_are_dropped():
    comparisons, order = module._network(5, 5, True)
    assert len(comparisons) < 80
    assert len(order) == 1
