import numpy as np
import pytest
from scipy import ndimage

from uad_postproc import Context, InputError
from uad_postproc.steps import BrainErosion


def test_rim_of_two_voxels():
    brain = np.zeros((1, 11, 11), bool)
    brain[0, 1:10, 1:10] = True
    out = BrainErosion(radius=2).apply(np.ones(brain.shape, np.float32), Context(brain))
    expected = np.zeros((11, 11))
    expected[3:8, 3:8] = 1
    np.testing.assert_array_equal(out[0], expected)


def test_mm_equal_the_distance_to_the_edge(rng):
    brain = ndimage.gaussian_filter(rng.random((1, 20, 24, 28)), (0, 3, 3, 3)) > 0.49
    spacing = (3.0, 1.0, 0.7)
    out = BrainErosion(radius=3.5, unit="mm").apply(brain.copy(), Context(brain, spacing))
    expected = ndimage.distance_transform_edt(brain[0], sampling=spacing) > 3.5
    assert expected.any()
    np.testing.assert_array_equal(out[0], expected)


def test_field_of_view_is_no_edge():
    brain = np.ones((1, 6, 6), bool)
    brain[0, 0] = False
    out = BrainErosion(radius=2).apply(brain.copy(), Context(brain))
    np.testing.assert_array_equal(out[0].all(axis=1), [False, False, False, True, True, True])


@pytest.mark.parametrize(("settings", "message"), [({"radius": 0}, "radius"), ({"unit": "cm"}, "unit.*'cm'")])
def test_settings_are_checked(settings, message):
    with pytest.raises(InputError, match=message):
        BrainErosion(**settings)


def test_mm_without_spacing():
    with pytest.raises(InputError, match="spacing"):
        BrainErosion(radius=2, unit="mm").apply(np.ones((1, 3, 3)), Context(np.ones((1, 3, 3), bool)))
