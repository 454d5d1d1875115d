import numpy as np
import pytest
from scipy import ndimage
from skimage.morphology import ball, disk

from uad_postproc import Context
from uad_postproc.steps.structuring import ball_offsets, dilate, erode


def context(ndim, spacing=None):
    return Context(np.ones((1,) + (3,) * ndim, bool), spacing)


@pytest.mark.parametrize(("ndim", "element"), [(2, disk), (3, ball)])
@pytest.mark.parametrize("radius", [1, 2, 3])
def test_offsets_are_a_disk_or_ball(ndim, element, radius):
    offsets = np.array(ball_offsets(radius=radius, unit="voxel", context=context(ndim)))
    drawn = np.zeros((2 * radius + 1,) * ndim, bool)
    drawn[tuple((offsets + radius).T)] = True
    np.testing.assert_array_equal(drawn, element(radius).astype(bool))


def test_offsets_in_mm_follow_the_spacing():
    offsets = ball_offsets(radius=2.0, unit="mm", context=context(3, (5.0, 1.0, 2.0)))
    assert sorted(offsets) == [(0, -2, 0), (0, -1, 0), (0, 0, -1), (0, 0, 0), (0, 0, 1), (0, 1, 0), (0, 2, 0)]


@pytest.mark.parametrize(("shape", "element"), [((3, 20, 19), disk), ((2, 10, 12, 11), ball)])
def test_erosion_and_dilation_equal_scipy(shape, element, rng):
    mask = rng.random(shape) < 0.8
    offsets = ball_offsets(radius=2, unit="voxel", context=context(len(shape) - 1))
    structure = element(2)[None].astype(bool)
    np.testing.assert_array_equal(erode(mask, offsets), ndimage.binary_erosion(mask, structure, border_value=1))
    np.testing.assert_array_equal(dilate(~mask, offsets), ndimage.binary_dilation(~mask, structure))
