import numpy as np
import pytest
from scipy import ndimage

from uad_eval import InputError
from uad_eval.froc import AT_FALSE_REGIONS, froc


def test_case_worked_by_hand():
    truth, scores = np.zeros((3, 12)), np.zeros((3, 12))
    truth[0, [1, 5]] = 1  # two lesions
    scores[0, 1], scores[0, 5] = 9, 3
    scores[2, 9], scores[2, 11] = 5, 2  # two false regions
    healthy = np.zeros((3, 12))
    healthy[1, 1] = 7  # one more in a scan without a lesion
    found = froc([(scores, truth), (healthy, np.zeros((3, 12)))], [1, 4, 6, 8])
    assert found.threshold.tolist() == [8, 6, 4, 1]
    assert found.sensitivity.tolist() == [0.5, 0.5, 0.5, 1]
    assert found.false_per_scan.tolist() == [0, 0.5, 1, 1.5]
    assert [found.sensitivity_at(x) for x in (0, 1, 1.5, 8)] == [0.5, 0.5, 1, 1]
    assert found.score() == pytest.approx(np.mean([0.5] * 4 + [1] * 3))
    assert len(AT_FALSE_REGIONS) == 7


def test_agrees_with_matching_by_hand_on_random_maps():
    rng = np.random.default_rng(0)
    scans = []
    for _ in range(5):
        truth = ndimage.gaussian_filter(rng.normal(size=(20, 20)), 2) > 0.25
        scans.append((ndimage.gaussian_filter(rng.normal(size=(20, 20)) + 2 * truth, 1), truth))
    thresholds = [0.2, 0.6, 1.0]
    found = froc(scans, thresholds)
    for place, value in enumerate(sorted(thresholds, reverse=True)):
        hits = false = 0
        for scores, truth in scans:
            lesions, number = ndimage.label(truth, np.ones((3, 3)))
            hits += sum((scores > value)[lesions == n].mean() >= 0.1 for n in range(1, number + 1))
            regions, number = ndimage.label(scores > value, np.ones((3, 3)))
            false += sum(truth[regions == n].mean() < 0.1 for n in range(1, number + 1))
        assert (found.found[place], found.false_regions[place]) == (hits, false)


def test_without_a_lesion_the_sensitivity_is_undefined_and_false_regions_count():
    found = froc([(np.eye(3), np.zeros((3, 3)))], [0.5])
    assert np.isnan([found.sensitivity[0], found.sensitivity_at(1), found.score()]).all()
    assert found.false_per_scan.tolist() == [1]


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="at least one scan"):
        froc([], [1])
    with pytest.raises(InputError, match="expected thresholds"):
        froc([(np.eye(3), np.eye(3))], [])
    with pytest.raises(InputError, match="scan 0: expected scores, found NaN"):
        froc([(np.full((3, 3), np.nan), np.eye(3))], [0])
