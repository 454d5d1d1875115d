import numpy as np
import pytest
from sklearn import metrics as sk

from uad_eval.errors import InputError
from uad_eval.ranking import Ranking, sorted_scores


def cases():
    rng = np.random.default_rng(0)
    for case in range(40):
        size = int(rng.integers(2, 400))
        levels = int(rng.choice([2, 3, 10, 10**6]))  # few levels: many ties
        scores = rng.integers(0, levels, size) / levels - 0.3
        truth = rng.random(size) < rng.choice([0.05, 0.5, 0.95])
        truth[:2] = [True, False]
        yield pytest.param(scores.astype([np.float32, np.float64][case % 2]), truth, id=f"{case}-{size}x{levels}")


def slow_best_dice(scores, truth):
    return max(2 * (truth & (scores >= t)).sum() / (truth.sum() + (scores >= t).sum()) for t in np.unique(scores))


@pytest.mark.parametrize(("scores", "truth"), list(cases()))
def test_agrees_with_scikit_learn_and_with_a_slow_search(scores, truth):
    ranking = Ranking.of(scores, truth)
    assert ranking.average_precision() == pytest.approx(sk.average_precision_score(truth, scores), abs=1e-9)
    assert ranking.auroc() == pytest.approx(sk.roc_auc_score(truth, scores), abs=1e-9)
    best, threshold = ranking.best_dice()
    assert best == pytest.approx(slow_best_dice(scores, truth), abs=1e-9)
    assert sk.f1_score(truth, scores > threshold) == pytest.approx(best, abs=1e-9)


def test_case_worked_by_hand():
    # Falling: 0.9 L, 0.8 H, 0.7 L and H tied, 0.1 H. Precision 1 at recall 1/2, 2/4 at recall 1.
    ranking = Ranking.of([0.9, 0.8, 0.7, 0.7, 0.1], [1, 0, 1, 0, 0])
    assert ranking.average_precision() == pytest.approx(0.5 * 1 + 0.5 * 0.5)
    assert ranking.auroc() == pytest.approx((3 + 1 + 0.5) / 6)
    value, threshold = ranking.best_dice()  # 2*1/(2+1) and 2*2/(2+4) are both 2/3: the higher threshold is taken
    assert value == pytest.approx(2 / 3)
    assert 0.8 < threshold < 0.9


def test_a_constant_map_gives_chance():
    ranking = Ranking.of(np.zeros(10), np.arange(10) < 3)
    assert ranking.average_precision() == pytest.approx(0.3)
    assert ranking.auroc() == pytest.approx(0.5)
    assert ranking.best_dice() == (pytest.approx(2 * 3 / 13), pytest.approx(0, abs=1e-300))


def test_without_lesion_or_without_healthy_voxel():
    none, everything = Ranking.of([1.0, 2.0], [0, 0]), Ranking.of([1.0, 2.0], [1, 1])
    assert np.isnan([none.average_precision(), none.auroc(), *none.best_dice(), everything.auroc()]).all()
    assert everything.average_precision() == everything.best_dice()[0] == 1
    assert none.precision_recall_curve().x.size == none.roc_curve().x.size == everything.roc_curve().x.size == 0


def test_curves_are_thinned_and_keep_their_area():
    rng = np.random.default_rng(1)
    truth = rng.random(200_000) < 0.03
    scores = (rng.normal(size=truth.size) + 2 * truth).astype(np.float32)
    ranking = Ranking.of(scores, truth)
    precision_recall, roc = ranking.precision_recall_curve(), ranking.roc_curve()
    assert 100 < precision_recall.x.size <= 500
    assert 100 < roc.x.size <= 500
    area = np.sum(np.diff(precision_recall.x) * precision_recall.y[1:])
    assert area == pytest.approx(ranking.average_precision(), abs=2e-3)
    assert sk.auc(roc.x, roc.y) == pytest.approx(ranking.auroc(), abs=5e-4)
    assert (roc.x[[0, -1]].tolist(), roc.y[[0, -1]].tolist()) == ([0, 1], [0, 1])


def test_the_points_of_a_curve_are_what_their_thresholds_give():
    rng = np.random.default_rng(2)
    truth = rng.random(300) < 0.3
    scores = np.round(rng.random(300) + 0.3 * truth, 1).astype(np.float32)
    precision_recall, roc = Ranking.of(scores, truth).precision_recall_curve(), Ranking.of(scores, truth).roc_curve()
    for recall, precision, threshold in zip(*precision_recall, strict=True):
        mask = scores > threshold
        assert recall == pytest.approx(mask[truth].mean())
        assert precision == pytest.approx(truth[mask].mean() if mask.any() else 1)
    for false, true, threshold in zip(*roc, strict=True):
        assert (false, true) == pytest.approx(((scores > threshold)[~truth].mean(), (scores > threshold)[truth].mean()))


def test_sorted_scores_keep_every_voxel_and_widen_half_precision():
    lesion, healthy = sorted_scores(np.array([[3, 1], [2, 0]], np.float16), [[2, 0], [1, 0]])
    assert (lesion.tolist(), healthy.tolist()) == ([2, 3], [0, 1])
    assert lesion.dtype == np.float32


@pytest.mark.parametrize(
    ("scores", "message"), [([0.0, np.nan], "1 NaN or infinite of 2"), ([0.0], r"\(1,\) and \(2,\)")]
)
def test_bad_scores_are_refused(scores, message):
    with pytest.raises(InputError, match=message):
        sorted_scores(scores, [0, 1])


def test_average_precision_at_another_prevalence_is_that_of_resampled_voxels():
    rng = np.random.default_rng(0)
    truth = np.arange(400) < 100
    scores = np.round(rng.normal(size=400) + 1.5 * truth, 1)
    ranking = Ranking.of(scores, truth)
    assert ranking.average_precision_at(0.25) == pytest.approx(ranking.average_precision(), abs=1e-12)
    repeated = np.r_[scores[truth], np.tile(scores[~truth], 19)]  # 100 of 5800 voxels
    other = Ranking.of(repeated, np.arange(repeated.size) < 100)
    assert ranking.average_precision_at(100 / 5800) == pytest.approx(other.average_precision(), abs=1e-12)
    with pytest.raises(InputError, match="prevalence"):
        ranking.average_precision_at(1)


def test_normalised_average_precision_is_0_at_chance_and_1_at_best():
    truth = np.arange(10) < 3
    assert Ranking.of(np.zeros(10), truth).normalised_average_precision() == pytest.approx(0, abs=1e-12)
    assert Ranking.of(truth.astype(float), truth).normalised_average_precision() == pytest.approx(1)
    assert Ranking.of(np.arange(10.0), truth).normalised_average_precision() < 0
    for none in (np.zeros(4), np.ones(4)):
        assert np.isnan(Ranking.of(np.arange(4.0), none).normalised_average_precision())
        assert np.isnan(Ranking.of(np.arange(4.0), none).average_precision_at(0.5))
