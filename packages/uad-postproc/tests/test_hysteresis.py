import numpy as np
import pytest

from uad_postproc import Context, InputError
from uad_postproc.steps import HealthyQuantile, Hysteresis


def test_low_region_stays_where_it_touches_a_high_voxel_by_hand():
    x = np.array([[[0, 2, 2, 5, 0, 2, 2, 0], [0, 0, 0, 0, 0, 0, 0, 0]]], np.float32)
    x = np.concatenate([x, x * (x < 3)])  # the second item has no high voxel
    mask = Hysteresis(value=4, low=1).apply(x, Context(np.ones(x.shape, bool)))
    np.testing.assert_array_equal(mask[0, 0], [False, True, True, True, False, False, False, False])
    assert not mask[1].any()


def test_thresholds_are_strict_and_regions_end_at_the_brain():
    x = np.array([[[5, 2, 2, 1, 4]]], np.float32)
    brain = np.array([[[True, True, False, True, True]]])
    mask = Hysteresis(value=4, low=1).apply(x, Context(brain))
    np.testing.assert_array_equal(mask, [[[True, True, False, False, False]]])


def test_fit_takes_both_from_healthy_voxels(rng):
    scores, lesion = rng.random(5000, dtype=np.float32), rng.random(5000) < 0.1
    fitted = Hysteresis(false_positive_rate=0.01, low_false_positive_rate=0.1).fit(scores, lesion)
    assert fitted.value == HealthyQuantile(0.01).fit(scores, lesion).value
    assert fitted.low == HealthyQuantile(0.1).fit(scores, lesion).value
    with pytest.raises(InputError, match="Hysteresis: no healthy voxel"):
        Hysteresis().fit(scores, np.ones(5000, bool))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"false_positive_rate": 0.1}, "at most low_false_positive_rate"),
        ({"low_false_positive_rate": 1.0}, "0 <= rate < 1"),
        ({"value": 0.5}, "value and low both or neither"),
        ({"value": 0.5, "low": 0.6}, "low at most value"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(InputError, match=message):
        Hysteresis(**settings)


def test_unfitted_says_so():
    with pytest.raises(InputError, match="Hysteresis has no value yet"):
        Hysteresis().apply(np.zeros((1, 2, 2), np.float32), Context(np.ones((1, 2, 2), bool)))
