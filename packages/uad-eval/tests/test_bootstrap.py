import numpy as np
import pytest

from uad_eval.bootstrap import interval, mask_draws, ranking_draws, ratio_draws, subject_weights
from uad_eval.metrics import Counts
from uad_eval.ranking import Ranking, sorted_scores


@pytest.fixture(scope="module")
def subjects():
    rng = np.random.default_rng(3)
    cases = []
    for _ in range(6):
        truth = rng.random(3000) < rng.choice([0.0, 0.03, 0.1])
        scores = np.round(rng.normal(size=3000) + rng.normal(2, 1) * truth, 3).astype(np.float32)
        cases.append((scores, truth))
    return cases


@pytest.mark.parametrize(("bins", "tolerance"), [(10**6, 1e-9), (100, 5e-3)])
def test_draws_are_the_figures_of_resampled_voxels(subjects, bins, tolerance):
    pooled = Ranking.of(*(np.concatenate(part) for part in zip(*subjects, strict=True)))
    weights = subject_weights(6, draws=20, seed=1)
    drawn = ranking_draws(pooled, [sorted_scores(*case) for case in subjects], weights, bins=bins)
    for i, copies in enumerate(weights.astype(int)):
        taken = [case for case, n in zip(subjects, copies, strict=True) for _ in range(n)]
        resampled = Ranking.of(*(np.concatenate(part) for part in zip(*taken, strict=True)))
        slow = [resampled.average_precision(), resampled.auroc(), resampled.best_dice()[0]]
        fast = [drawn[name][i] for name in ("average_precision", "auroc", "best_dice")]
        assert fast == pytest.approx(slow, abs=tolerance)


def test_the_undrawn_sample_gives_the_exact_figure_whatever_the_bins(subjects):
    pooled = Ranking.of(*(np.concatenate(part) for part in zip(*subjects, strict=True)))
    drawn = ranking_draws(pooled, [sorted_scores(*case) for case in subjects], np.ones((1, 6)), bins=5)
    assert drawn["average_precision"][0] == pytest.approx(pooled.average_precision(), abs=1e-12)
    assert drawn["best_dice"][0] == pytest.approx(pooled.best_dice()[0], abs=1e-12)


def test_draws_without_a_lesion_are_undefined():
    healthy, ill = sorted_scores([1.0, 2.0], [0, 0]), sorted_scores([1.0, 3.0], [0, 1])
    weights = np.array([[2.0, 0.0], [0.0, 2.0]])
    drawn = ranking_draws(Ranking.of([1, 2, 1, 3.0], [0, 0, 0, 1]), [healthy, ill], weights)
    assert np.isnan(drawn["average_precision"]).tolist() == [True, False]
    none = ranking_draws(Ranking.of([1.0], [0]), [healthy, healthy], weights)
    assert np.isnan(none["auroc"]).all()


def test_weights_are_seeded_and_keep_the_number_of_subjects():
    weights = subject_weights(9, draws=50, seed=4)
    assert weights.shape == (50, 9)
    assert (weights.sum(axis=1) == 9).all()
    np.testing.assert_array_equal(weights, subject_weights(9, draws=50, seed=4))
    assert (weights != subject_weights(9, draws=50, seed=5)).any()


def test_interval_covers_about_95_in_100_of_repeated_studies():
    rng = np.random.default_rng(0)
    covered = 0
    for study in range(200):
        values = rng.normal(size=30)
        low, high = interval(ratio_draws(values, np.ones(30), subject_weights(30, draws=300, seed=study)))
        covered += low <= 0 <= high
    assert 175 <= covered <= 199


def test_interval_leaves_undefined_draws_out():
    assert interval(np.array([np.nan, 1.0, 1.0])) == (1.0, 1.0)
    assert np.isnan(interval(np.array([np.nan]))).all()


def test_mask_draws_add_the_counts_of_the_subjects_drawn():
    counts = Counts(np.array([1, 3]), np.array([1, 0]), np.array([0, 1]), np.array([8, 6]))
    drawn = mask_draws(counts, np.array([[2.0, 0.0], [1.0, 1.0]]))
    assert drawn["dice"] == pytest.approx([4 / 6, 8 / 10])
    assert drawn["specificity"] == pytest.approx([16 / 18, 14 / 15])


def test_intervals_of_few_subjects_are_wider_and_cover_as_they_say():
    rng = np.random.default_rng(1)
    weights, studies = subject_weights(8, draws=1000), 1500
    plain = expanded = 0
    for _ in range(studies):
        draws = ratio_draws(rng.normal(size=8), np.ones(8), weights)
        (low, high), (lower, higher) = interval(draws), interval(draws, subjects=8)
        assert lower <= low < high <= higher
        plain, expanded = plain + (low <= 0 <= high), expanded + (lower <= 0 <= higher)
    assert plain / studies < 0.92
    assert 0.93 <= expanded / studies <= 0.97
