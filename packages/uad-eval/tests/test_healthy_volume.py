import numpy as np
import pytest

from uad_eval import InputError, RunKey, evaluate_false_positives, healthy_volume_threshold, marked_volumes
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


@pytest.mark.parametrize("stated", [0.02, 0.5, 3.0, 40.0])
def test_threshold_is_the_lowest_with_the_stated_volume(stated):
    scores = np.random.default_rng(0).random((6, 10, 12)).astype(np.float32)
    scans, voxel_ml = np.arange(6) // 2, np.full(6, 0.01)

    def mean_volume(threshold):
        return marked_volumes(scores > threshold, voxel_ml, scans).mean()

    found = healthy_volume_threshold(scores, mean_volume, false_positive_ml=stated)
    within = [t for t in np.unique(scores) if mean_volume(t) <= stated]
    assert mean_volume(found) <= stated
    assert mean_volume(found) >= 0.99 * mean_volume(min(within))


def test_what_follows_the_threshold_counts():
    """Without single voxels a lower threshold is allowed than with them."""
    scores = np.random.default_rng(1).random((1, 30, 30)).astype(np.float32)

    def plain(threshold):
        return float(np.count_nonzero(scores > threshold))

    def pairs_only(threshold):
        mask = scores[0] > threshold
        return float(2 * np.count_nonzero(mask[:, 1:] & mask[:, :-1]))

    alone = healthy_volume_threshold(scores, plain, false_positive_ml=20)
    cleaned = healthy_volume_threshold(scores, pairs_only, false_positive_ml=20)
    assert plain(alone) == 20
    assert pairs_only(cleaned) <= 20
    assert cleaned < alone


def test_ties_are_never_exceeded():
    scores = np.repeat(np.float32([0.1, 0.5, 0.9]), [50, 30, 20])
    found = healthy_volume_threshold(scores, lambda t: float((scores > t).sum()), false_positive_ml=40)
    assert found == np.float32(0.5)


@pytest.mark.parametrize(
    ("scores", "stated", "message"),
    [([1.0], 0, "expected above 0"), ([], 1, "found 0 scores"), ([1.0, np.nan], 1, "1 of them not finite")],
)
def test_what_gives_no_threshold_is_refused(scores, stated, message):
    with pytest.raises(InputError, match=message):
        healthy_volume_threshold(scores, lambda t: 0.0, false_positive_ml=stated)


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
