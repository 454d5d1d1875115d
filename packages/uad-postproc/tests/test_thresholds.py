import json

import numpy as np
import pytest

from uad_postproc import Context, InputError
from uad_postproc.steps import (
    LAMBERT2021_GRID,
    STEPS,
    BestDice,
    FixedThreshold,
    HealthyQuantile,
    HealthySigma,
    LabelFitted,
    Threshold,
)


def dice(scores, lesion, value):
    predicted = scores > np.float32(value)
    return 2 * (predicted & lesion).sum() / (predicted.sum() + lesion.sum())


@pytest.fixture
def validation(rng):
    lesion = rng.random(3000) < 0.05
    scores = (rng.random(3000) + 0.6 * lesion).astype(np.float32).round(2)  # rounded: many ties
    return scores, lesion


def test_strictly_above_and_inside_the_brain_only():
    x = np.array([[[0.1, 0.2, 0.3, 0.3]]], np.float32)
    brain = np.array([[[True, True, True, False]]])
    np.testing.assert_array_equal(FixedThreshold(0.2).apply(x, Context(brain)), [[[False, False, True, False]]])


@pytest.mark.parametrize("rate", [0, 0.01, 0.05, 0.29, 0.5, 0.999])
def test_healthy_quantile_is_the_lowest_that_keeps_the_rate(rate, validation):
    scores = validation[0]
    fitted = HealthyQuantile(rate).fit(scores)
    candidates = np.unique(scores)
    kept = [value for value in candidates if (scores > value).mean() <= rate]
    assert np.float32(fitted.value) == min(kept)


def test_healthy_quantile_leaves_lesions_out(validation):
    scores, lesion = validation
    assert HealthyQuantile(0.05).fit(scores, lesion).value == HealthyQuantile(0.05).fit(scores[~lesion]).value
    assert HealthyQuantile(0.05).fit(scores, lesion).value < HealthyQuantile(0.05).fit(scores).value


def test_healthy_sigma_is_mean_plus_k_standard_deviations(validation):
    scores, lesion = validation
    healthy = scores[~lesion].astype(np.float64)
    assert HealthySigma(2).fit(scores, lesion).value == pytest.approx(healthy.mean() + 2 * healthy.std())
    assert HealthySigma().fit(scores[~lesion]).value == pytest.approx(healthy.mean() + 3 * healthy.std())
    with pytest.raises(InputError, match="HealthySigma: no healthy voxel"):
        HealthySigma().fit(scores[:0])


def test_best_dice_on_a_grid_equals_brute_force(validation):
    scores, lesion = validation
    grid = tuple(np.linspace(0, 1.6, 33))
    values = [dice(scores, lesion, value) for value in grid]
    fitted = BestDice(grid=grid).fit(scores, lesion)
    assert dice(scores, lesion, fitted.value) == max(values)
    assert fitted.value == pytest.approx(max(v for v, d in zip(grid, values, strict=True) if d == max(values)))


def test_best_dice_by_default_reaches_the_best_of_all_thresholds(validation):
    scores, lesion = validation
    best = max(dice(scores, lesion, value) for value in np.unique(scores))
    assert dice(scores, lesion, BestDice().fit(scores, lesion).value) == pytest.approx(best, abs=0.01)


def test_best_dice_by_default_finds_a_lesion_of_a_few_voxels(rng):
    scores = rng.random(200_000, dtype=np.float32)
    lesion = np.zeros(scores.size, bool)
    lesion[:20] = True
    scores[:20] = 2
    assert dice(scores, lesion, BestDice().fit(scores, lesion).value) > 0.9


def test_lambert_grid_is_fifteen_values():
    assert len(LAMBERT2021_GRID) == 15
    assert (LAMBERT2021_GRID[0], LAMBERT2021_GRID[-1]) == (0, 0.15)
    np.testing.assert_allclose(np.diff(LAMBERT2021_GRID), 0.15 / 14, atol=1e-6)


def test_only_label_fitted_thresholds_need_labels():
    thresholds = [step for step in STEPS.values() if issubclass(step, Threshold)]
    assert {step.__name__: step.needs_labels for step in thresholds} == {
        "FixedThreshold": False,
        "HealthyQuantile": False,
        "HealthySigma": False,
        "Hysteresis": False,
        "Otsu": False,
        "Yen": False,
        "BestDice": True,
    }
    assert all(step.needs_labels == issubclass(step, LabelFitted) for step in thresholds)


@pytest.mark.parametrize("threshold", [HealthyQuantile(0.1), BestDice()])
def test_unfitted_says_so(threshold):
    with pytest.raises(InputError, match=r"no value yet.*fit"):
        threshold.apply(np.zeros((1, 2, 2), np.float32), Context(np.ones((1, 2, 2), bool)))


def test_nothing_to_fit_on():
    scores = np.ones(4, np.float32)
    with pytest.raises(InputError, match="no healthy voxel to fit on"):
        HealthyQuantile(0.1).fit(scores[:0])
    with pytest.raises(InputError, match="no healthy voxel to fit on"):
        HealthyQuantile(0.1).fit(scores, np.ones(4, bool))
    with pytest.raises(InputError, match="found no labels"):
        BestDice().fit(scores)
    with pytest.raises(InputError, match="without a lesion voxel"):
        BestDice().fit(scores, np.zeros(4, bool))


@pytest.mark.parametrize(
    "make",
    [
        lambda: FixedThreshold(float("nan")),
        lambda: FixedThreshold(None),
        lambda: FixedThreshold(True),
        lambda: HealthyQuantile(1.0),
        lambda: HealthyQuantile(-0.1),
        lambda: HealthyQuantile("0.1"),
        lambda: HealthySigma(float("inf")),
        lambda: BestDice(grid=()),
        lambda: BestDice(grid=(0.1, float("inf"))),
    ],
)
def test_settings_are_checked(make):
    with pytest.raises(InputError, match="expected"):
        make()


def test_numpy_numbers_become_plain_ones():
    step = BestDice(grid=np.linspace(0, 1, 3), value=np.float32(0.5))
    assert json.dumps([step.grid, step.value]) == "[[0.0, 0.5, 1.0], 0.5]"
