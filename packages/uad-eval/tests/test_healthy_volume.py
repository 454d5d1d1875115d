import numpy as np
import pytest

from uad_eval import InputError, RunKey, evaluate_false_positives, marked_volumes
from uad_eval.bootstrap import subject_weights

SCANS = np.array(["b", "a", "b", "c"])
VOXEL_ML = np.array([0.5, 0.25, 0.5, 1.0])


def masks(*marked: int) -> np.ndarray:
    made = np.zeros((len(marked), 20), bool)
    for row, count in zip(made, marked, strict=True):
        row[:count] = True
    return made.reshape(-1, 4, 5)


def test_volume_of_a_scan_is_that_of_its_slices():
    np.testing.assert_array_equal(marked_volumes(masks(2, 4, 3, 0), VOXEL_ML, SCANS), [1.0, 2.5, 0.0])
    with pytest.raises(InputError, match="one entry per item"):
        marked_volumes(masks(2, 4), VOXEL_ML, SCANS)


def test_measured_volume_is_the_mean_over_scans_with_an_interval_over_subjects():
    subjects = ["two", "one", "two", "two"]  # scans b and c are one person's
    given = {"healthy_volume": masks(2, 4, 3, 6), "healthy_validation": masks(0, 0, 0, 0)}
    key = RunKey(cohort="c", method="m")
    found = evaluate_false_positives(given, VOXEL_ML, SCANS, subjects, key=key, false_positive_ml=2.0, draws=50)
    rows = found.results.set_index(["metric", "protocol"])
    assert rows.loc[("false_positive_volume", "healthy_volume"), "value"] == pytest.approx((1.0 + 2.5 + 6.0) / 3)
    assert rows.loc[("false_positive_volume", "healthy_validation"), "value"] == 0
    assert rows.loc[("chosen_false_positive_volume", ""), "value"] == 2.0
    weights = subject_weights(2, draws=50, seed=0)
    expected = weights @ [1.0, 8.5] / (weights @ [1, 2])
    drawn = found.draws.set_index("protocol")["draws"]
    np.testing.assert_allclose(drawn["healthy_volume"], expected)
