import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from uad_eval import InputError
from uad_eval.calibration import Reliability, expected_calibration_error


def test_case_worked_by_hand():
    # Two bins: {0.2, 0.4} with one lesion of two, {0.8} with one of one.
    found = Reliability.of([0.2, 0.4, 0.8], [0, 1, 1], bins=2)
    assert found.expected_error() == pytest.approx(2 / 3 * abs(0.5 - 0.3) + 1 / 3 * 0.2)
    assert found.brier() == pytest.approx((0.04 + 0.36 + 0.04) / 3)


def test_agrees_with_scikit_learn_and_adds_up():
    rng = np.random.default_rng(0)
    probabilities = rng.beta(0.5, 2, 5000)
    truth = rng.random(5000) < probabilities**1.5
    found = Reliability.of(probabilities, truth, bins=10)
    observed, predicted = calibration_curve(truth, probabilities, n_bins=10)
    mine = found.curve()
    assert mine[0] == pytest.approx(predicted)
    assert mine[1] == pytest.approx(observed)
    assert found.brier() == pytest.approx(brier_score_loss(truth, probabilities))
    halves = Reliability.of(probabilities[:99], truth[:99], bins=10) + Reliability.of(
        probabilities[99:], truth[99:], bins=10
    )
    assert halves.expected_error() == pytest.approx(found.expected_error())


def test_calibrated_probabilities_have_a_small_error_and_edges_have_a_bin():
    rng = np.random.default_rng(1)
    probabilities = rng.random(100_000)
    assert expected_calibration_error(probabilities, rng.random(100_000) < probabilities) < 0.01
    assert expected_calibration_error([0.0, 1.0], [0, 1]) == 0
    assert expected_calibration_error([0.0, 1.0], [1, 0]) == 1
    assert np.isnan(expected_calibration_error([], []))


@pytest.mark.parametrize("values", [[0.5, 1.2], [-0.1, 0.3], [np.nan, 0.2]])
def test_what_is_no_probability_is_refused(values):
    with pytest.raises(InputError, match="expected probabilities from 0 to 1"):
        Reliability.of(values, [0, 1])
    with pytest.raises(InputError, match="one shape"):
        Reliability.of([0.2], [0, 1])
