import numpy as np
import pytest

from uad_postproc import InputError, lowest_threshold


@pytest.mark.parametrize("stated", [0.02, 0.5, 3.0, 40.0])
def test_threshold_is_the_lowest_with_the_stated_volume(stated):
    scores = np.random.default_rng(0).random((6, 10, 12)).astype(np.float32)

    def mean_volume(threshold):
        return 0.01 * np.count_nonzero(scores > threshold) / 3

    found = lowest_threshold(scores, mean_volume, at_most=stated)
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

    alone = lowest_threshold(scores, plain, at_most=20)
    cleaned = lowest_threshold(scores, pairs_only, at_most=20)
    assert plain(alone) == 20
    assert pairs_only(cleaned) <= 20
    assert cleaned < alone


def test_ties_are_never_exceeded():
    scores = np.repeat(np.float32([0.1, 0.5, 0.9]), [50, 30, 20])
    found = lowest_threshold(scores, lambda t: float((scores > t).sum()), at_most=40)
    assert found == np.float32(0.5)


@pytest.mark.parametrize(
    ("scores", "stated", "message"),
    [([1.0], 0, "expected above 0"), ([], 1, "found 0 scores"), ([1.0, np.nan], 1, "1 of them not finite")],
)
def test_what_gives_no_threshold_is_refused(scores, stated, message):
    with pytest.raises(InputError, match=message):
        lowest_threshold(scores, lambda t: 0.0, at_most=stated)
