import json

import numpy as np
import pytest

from uad_postproc import Context, InputError, Pipeline
from uad_postproc import pipeline as module
from uad_postproc.steps import (
    BestDice,
    BrainErosion,
    FixedThreshold,
    HealthyQuantile,
    MedianFilter,
    Opening,
    Residual,
    SmallObjectRemoval,
)

STEPS = (Residual(), MedianFilter(3), HealthyQuantile(0.1), SmallObjectRemoval(min_voxels=3))


@pytest.fixture
def case(rng):
    brain = np.zeros((5, 20, 20), bool)
    brain[:, 3:17, 2:18] = True
    return rng.random(brain.shape), Context(brain, (1.5, 1.5))


def test_steps_run_in_order(case):
    maps, context = case
    made = Pipeline("p", STEPS).with_threshold(0.5)
    median = MedianFilter(3).apply(np.where(context.brain, maps, 0).astype(np.float32), context)
    np.testing.assert_array_equal(made.score(maps, context), median)
    expected = SmallObjectRemoval(min_voxels=3).apply((median > 0.5) & context.brain, context)
    assert expected.any()
    np.testing.assert_array_equal(made.mask(maps, context), expected)
    np.testing.assert_array_equal(made.mask_from_scores(made.score(maps, context), context), expected)


def test_residual_comes_from_the_context(case):
    maps, context = case
    other = Context(context.brain, image=maps[:, None], reconstruction=maps[:, None] - 1)
    scores = Pipeline("p", (Residual(), FixedThreshold(0.5))).score(maps, other)
    np.testing.assert_allclose(scores, context.brain, atol=1e-6)


def test_groups_of_items_change_nothing(case, monkeypatch):
    maps, context = case
    context = Context(context.brain, image=maps, reconstruction=maps**2)
    whole = Pipeline("p", STEPS).with_threshold(0.2)
    scores, masks = whole.score(maps, context), whole.mask(maps, context)
    monkeypatch.setattr(module, "_GROUP_VOXELS", 800)
    np.testing.assert_array_equal(whole.score(maps, context), scores)
    np.testing.assert_array_equal(whole.mask(maps, context), masks)


def test_fit_without_labels_keeps_the_rate_on_healthy_brain_voxels(case):
    maps, context = case
    unfitted = Pipeline("p", STEPS)
    fitted = unfitted.fit(maps, context)
    above = fitted.score(maps, context)[context.brain] > fitted.threshold.value
    assert 0.095 < above.mean() <= 0.1
    assert unfitted.threshold.value is None


def test_fit_with_labels_separates_a_lesion(case):
    maps, context = case
    lesion = np.zeros(maps.shape, np.uint8)
    lesion[2, 5:9, 5:9] = 3
    fitted = Pipeline("p", (BestDice(),)).fit(maps + lesion, context, lesion)
    np.testing.assert_array_equal(fitted.mask(maps + lesion, context), lesion > 0)


def test_fit_looks_at_the_brain_only(case, rng):
    maps, context = case
    made = Pipeline("p", (HealthyQuantile(0),))
    wild = np.where(context.brain, maps, 1e6)
    assert made.fit(wild, context).threshold.value == np.float32(maps[context.brain].max())
    # Unsure labels: with the lesion voxels outside the brain the best threshold would be another.
    lesion = maps + 0.3 * rng.normal(size=maps.shape) > 1
    labelled = Pipeline("p", (BestDice(grid=tuple(np.linspace(0, 1, 21))),))
    inside = labelled.fit_voxels(maps[context.brain].astype(np.float32), lesion[context.brain])
    assert labelled.fit(wild, context, lesion | ~context.brain) == inside
    with pytest.raises(InputError, match="no healthy voxel"):
        made.fit(maps, Context(np.zeros_like(context.brain)))


def test_fit_leaves_a_fixed_threshold(case):
    made = Pipeline("p", (FixedThreshold(0.3),))
    assert made.fit(*case) is made


def test_needed_labels_are_asked_for(case):
    made = Pipeline("p", (BestDice(),))
    assert made.needs_labels
    assert not Pipeline("p", STEPS).needs_labels
    with pytest.raises(InputError, match=r"'p'.*BestDice needs lesion labels"):
        made.fit(*case)


def test_unfitted_pipeline_says_what_to_do(case):
    with pytest.raises(InputError, match="fit the pipeline"):
        Pipeline("p", STEPS).mask(*case)


def test_with_threshold_takes_a_value_or_a_step():
    made = Pipeline("p", STEPS)
    assert made.with_threshold(0.25).threshold == FixedThreshold(0.25)
    assert made.with_threshold(BestDice()).needs_labels
    assert made.with_threshold(0.25).steps[:2] == STEPS[:2]
    assert made.with_threshold(0.25).steps[3] == STEPS[3]


def test_json_round_trip_keeps_fitted_values(case):
    grid = Pipeline("q", (BestDice(grid=(0.1, 0.2)), Opening(2.5, "mm")), "two")
    for made in (Pipeline("p", STEPS).fit(*case), grid, grid.with_threshold(0.1)):
        assert Pipeline.from_dict(json.loads(json.dumps(made.to_dict()))) == made


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"steps": []}, "expected keys 'name' and 'steps'"),
        ({"name": "p", "steps": ["MedianFilter"]}, "a step is a mapping"),
        ({"name": "p", "steps": [{"step": "MedianFiltre"}]}, "did you mean 'MedianFilter'"),
        ({"name": "p", "steps": [{"step": "MedianFilter", "sise": 3}]}, "did you mean 'size'"),
        ({"name": "p", "steps": [{"step": "HealthyQuantile"}]}, "HealthyQuantile cannot be made.*false_positive_rate"),
        ({"name": "p", "steps": [{"step": "MedianFilter", "size": 4}]}, "odd"),
    ],
)
def test_bad_dictionaries(data, message):
    with pytest.raises(InputError, match=message):
        Pipeline.from_dict(data)


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ((MedianFilter(),), "exactly one threshold step, found 0"),
        ((FixedThreshold(1), FixedThreshold(2)), "found 2"),
        ((Opening(), FixedThreshold(1)), "Opening stands before the threshold"),
        ((FixedThreshold(1), MedianFilter()), "MedianFilter stands after the threshold"),
    ],
)
def test_order_is_checked(steps, message):
    with pytest.raises(InputError, match=message):
        Pipeline("p", steps)


def test_brain_erosion_may_stand_on_either_side(case):
    maps, context = case
    before = Pipeline("p", (BrainErosion(2), FixedThreshold(0.5))).mask(maps, context)
    after = Pipeline("p", (FixedThreshold(0.5), BrainErosion(2))).mask(maps, context)
    assert before.any()
    np.testing.assert_array_equal(before, after)


def test_nan_matters_inside_the_brain_only(case):
    maps, context = case
    made = Pipeline("p", STEPS).with_threshold(0.5)
    maps[1, 0, 0] = np.nan
    assert np.isfinite(made.score(maps, context)).all()
    maps[3, 10, 10] = np.inf
    with pytest.raises(InputError, match="item 3 holds NaN or infinite"):
        made.score(maps, context)


def test_shapes_must_agree(case):
    maps, context = case
    made = Pipeline("p", STEPS).with_threshold(0.5)
    with pytest.raises(InputError, match=r"maps: expected the shape of the brain \(5, 20, 20\), found \(4, 20, 20\)"):
        made.score(maps[:4], context)
    with pytest.raises(InputError, match="scores"):
        made.mask_from_scores(maps[:4], context)
    with pytest.raises(InputError, match="lesion"):
        made.fit(maps, context, maps[:4])
