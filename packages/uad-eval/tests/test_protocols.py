import numpy as np
import pytest

from uad_eval.errors import InputError
from uad_eval.metrics import dice
from uad_eval.protocols import (
    healthy_validation_threshold,
    lesion_validation_threshold,
    synthetic_validation_threshold,
)


def test_lesion_validation_takes_the_best_dice_for_masks_strictly_above():
    rng = np.random.default_rng(0)
    truth = rng.random(500) < 0.2
    scores = np.round(rng.normal(size=500) + 1.5 * truth, 1).astype(np.float32)
    threshold = lesion_validation_threshold(scores, truth)
    others = [dice(scores > t, truth) for t in np.unique(scores)]
    assert dice(scores > threshold, truth) == pytest.approx(max(others))


def test_lesion_validation_needs_a_lesion():
    with pytest.raises(InputError, match="found none in 3 voxels"):
        lesion_validation_threshold([1.0, 2.0, 3.0], [0, 0, 0])


@pytest.mark.parametrize(
    ("scores", "rate", "threshold"),
    [
        (np.arange(100), 0.05, 94),  # 95..99 lie above
        (np.arange(100), 0.0, 99),
        (np.arange(10), 0.19, 8),  # 1.9 voxels allowed: one lies above
        ([0, 0, 0, 5, 5, 5], 0.4, 5),  # two allowed, but three are tied: none lies above
    ],
)
def test_healthy_validation_never_exceeds_the_stated_rate(scores, rate, threshold):
    found = healthy_validation_threshold(np.random.default_rng(0).permutation(scores), false_positive_rate=rate)
    assert found == threshold
    assert np.mean(np.asarray(scores) > found) <= rate


@pytest.mark.parametrize(
    ("scores", "rate", "message"),
    [([1.0], 1.0, "found 1.0"), ([], 0.1, "found 0 scores"), ([np.inf], 0.1, "1 of them not finite")],
)
def test_healthy_validation_refuses(scores, rate, message):
    with pytest.raises(InputError, match=message):
        healthy_validation_threshold(scores, false_positive_rate=rate)


def test_synthetic_validation_is_the_best_dice_on_what_was_made_up():
    scores, made_up = np.array([0.1, 0.6, 0.7, 0.9]), np.array([0, 0, 1, 1])
    threshold = synthetic_validation_threshold(scores, made_up)
    assert ((scores > threshold) == made_up).all()
    with pytest.raises(InputError, match="needs voxels of made-up lesions, found none in 4 voxels"):
        synthetic_validation_threshold(scores, np.zeros(4))
