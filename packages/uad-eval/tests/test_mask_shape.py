import numpy as np
import pytest

from uad_eval import InputError, RunKey, Scope, evaluate
from uad_eval.surface import surface_distances


@pytest.fixture(scope="module")
def volumes():
    rng = np.random.default_rng(0)
    truth = np.zeros((3, 6, 7, 8), np.uint8)
    truth[:2, 1:4, 2:5, 2:6] = 1  # the third has no lesion
    maps = (rng.random(truth.shape) + 0.6 * truth).astype(np.float32)
    return maps, truth, np.array([[2.0, 1.0, 1.0]] * 3)


def scored(volumes, *, threshold=0.95, rule="lesion"):
    maps, truth, spacing = volumes
    return evaluate(
        maps,
        truth,
        np.ones(truth.shape, bool),
        ["a", "b", "c"],
        key=RunKey(cohort="toy", method="m", scope=Scope(empty_cases=rule)),
        thresholds={"lesion_validation": threshold},
        spacing=spacing,
        draws=50,
    ).results.set_index(["metric", "subject"])["value"]


def test_distances_and_volumes_of_each_subject_and_their_mean(volumes):
    maps, truth, spacing = volumes
    r = scored(volumes)
    marked = maps > 0.95
    for n, name in enumerate("ab"):
        distances = surface_distances(marked[n], truth[n], spacing=spacing[n])
        assert (r["hausdorff_95", name], r["surface_distance", name]) == distances
    assert r["hausdorff_95", "mean"] == pytest.approx((r["hausdorff_95", "a"] + r["hausdorff_95", "b"]) / 2)
    error = (marked.sum(axis=(1, 2, 3)) - truth.sum(axis=(1, 2, 3))) * 0.002
    assert r["volume_error", "mean"] == pytest.approx(error.mean())
    assert r["volume_limit_high", "pooled"] == pytest.approx(error.mean() + 1.96 * error.std(ddof=1))
    assert r["lesion_volume", "a"] == pytest.approx(36 * 0.002)
    assert ("hausdorff_95", "pooled") not in r.index


def test_empty_masks_follow_the_rule_of_the_scope(volumes):
    dice = {rule: scored(volumes, threshold=9, rule=rule) for rule in ("lesion", "nnunet", "brats")}
    assert [r["dice", "c"] for r in dice.values()] == pytest.approx([np.nan, np.nan, 1], nan_ok=True)
    assert [r["dice", "mean"] for r in dice.values()] == pytest.approx([0, 0, 1 / 3])
    assert dice["brats"]["hausdorff_95", "mean"] == pytest.approx(374 * 2 / 3)
    found = {rule: scored(volumes, rule=rule) for rule in ("lesion", "nnunet")}
    assert found["nnunet"]["dice", "mean"] == pytest.approx(found["lesion"]["dice", "mean"] * 2 / 3)


def test_bad_input_is_refused(volumes):
    maps, truth, _ = volumes
    with pytest.raises(InputError, match="spacing: expected sizes above 0"):
        scored((maps, truth, np.ones((2, 3))))
    with pytest.raises(InputError, match="empty cases: expected one of"):
        Scope(empty_cases="always")
