import numpy as np
import pytest
from scipy import ndimage
from skimage.morphology import ball, closing, disk, opening

from uad_postproc import Context, InputError
from uad_postproc.steps import Closing, HoleFilling, Opening


def full(mask):
    return Context(np.ones(mask.shape, bool))


def test_opening_removes_a_line_and_keeps_a_cross():
    mask = np.zeros((1, 9, 9), bool)
    mask[0, 1, :] = True
    mask[0, 4:7, 5] = mask[0, 5, 4:7] = True
    expected = np.zeros((9, 9), bool)
    expected[4:7, 5] = expected[5, 4:7] = True
    np.testing.assert_array_equal(Opening(radius=1).apply(mask, full(mask))[0], expected)


def test_closing_fills_a_crack_inside_the_brain_only():
    mask = np.zeros((1, 9, 9), bool)
    mask[0, 2:7, 2:7] = True
    mask[0, 4] = False
    brain = np.ones(mask.shape, bool)
    brain[0, 4, 3] = False
    expected = np.zeros((9, 9), bool)
    expected[2:7, 2:7] = True
    expected[4, [2, 3, 6]] = False  # the ends of the crack stay open, and (4, 3) is not brain
    np.testing.assert_array_equal(Closing(radius=1).apply(mask, Context(brain))[0], expected)


@pytest.mark.parametrize(("shape", "element"), [((3, 30, 31), disk), ((2, 14, 15, 16), ball)])
@pytest.mark.parametrize("radius", [1, 2])
def test_equals_skimage_item_by_item(shape, element, radius, rng):
    mask = ndimage.gaussian_filter(rng.random(shape), (0, *(1,) * (len(shape) - 1))) > 0.5
    for step, reference in ((Opening, opening), (Closing, closing)):
        expected = np.stack([reference(item, element(radius), mode="ignore") for item in mask])
        np.testing.assert_array_equal(step(radius=radius).apply(mask, full(mask)), expected)


def test_radius_in_mm_follows_the_spacing():
    mask = np.zeros((1, 9, 9), bool)
    mask[0, 4, 1:8] = True  # one voxel of 4 mm high
    assert Opening(radius=2, unit="mm").apply(mask, Context(np.ones(mask.shape, bool), (4.0, 1.0))).sum() == 7
    assert Opening(radius=2, unit="mm").apply(mask, Context(np.ones(mask.shape, bool), (1.0, 1.0))).sum() == 0


def test_hole_filling_equals_scipy_item_by_item(rng):
    for shape in ((4, 30, 31), (2, 10, 11, 12)):
        mask = rng.random(shape) < 0.6
        expected = np.stack([ndimage.binary_fill_holes(item) for item in mask])
        assert (expected != mask).any()
        np.testing.assert_array_equal(HoleFilling().apply(mask, full(mask)), expected)


def test_hole_outside_the_brain_stays():
    mask = np.zeros((1, 5, 5), bool)
    mask[0, 1:4, 1:4] = True
    mask[0, 2, 2] = False
    np.testing.assert_array_equal(HoleFilling().apply(mask, Context(mask.copy())), mask)


@pytest.mark.parametrize("step", [Opening, Closing])
def test_settings_are_checked(step):
    with pytest.raises(InputError, match=f"{step.__name__}: radius"):
        step(radius=-1)
    with pytest.raises(InputError, match=f"{step.__name__}: unit"):
        step(unit="ml")
