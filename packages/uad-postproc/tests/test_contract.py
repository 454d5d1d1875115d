"""What holds for every registered step and pipeline."""

import json
from dataclasses import FrozenInstanceError, is_dataclass

import numpy as np
import pytest

from uad_postproc import Context, Pipeline, list_pipelines
from uad_postproc.pipelines import pipeline
from uad_postproc.steps import STEPS, FixedThreshold, Threshold

# Settings where a step has none by default.
SETTINGS = {
    "FixedThreshold": {"value": 0.6},
    "HealthyQuantile": {"false_positive_rate": 0.1, "value": 0.6},
    "BestDice": {"value": 0.6},
    "HealthySigma": {"value": 0.6},
    "Hysteresis": {"value": 0.8, "low": 0.6},
    "HealthyPValue": {"values": (0.2, 0.5, 0.9), "levels": (0.0, 1.0, 3.0)},
    "SmallObjectRemoval": {"min_ml": 0.03},
}
NOT_IDEMPOTENT = {
    "MedianFilter",
    "MajorityFilter",
    "GaussianFilter",
    "GaussianScales",
    "GaussianMixture",
    "HealthyPValue",
    "SymmetryPrior",
    "AtlasPrior",
}
SHAPES = [(3, 18, 20), (2, 9, 10, 11)]


def make(name):
    return STEPS[name](**SETTINGS.get(name, {}))


def context(shape, rng, *, empty=False):
    brain = np.zeros(shape, bool)
    if not empty:
        brain[(slice(None), *(slice(2, -2) for _ in shape[1:]))] = True
        brain &= rng.random(shape) < 0.95
    thickness = 4.0 if len(shape) == 3 else None
    spacing = (2.0, 1.0, 1.5)[: len(shape) - 1]
    return Context(brain, spacing, slice_thickness=thickness, prior=rng.random(shape))


def arrays(step, shape, rng, ctx):
    """One input of each kind that the step takes."""
    values = {"map": rng.random(shape, dtype=np.float32), "mask": rng.random(shape) < 0.6}
    return [np.where(ctx.brain, values[kind], np.zeros((), values[kind].dtype)) for kind in sorted(step.takes)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", STEPS)
def test_step(name, shape, rng):
    step, ctx = make(name), context(shape, rng)
    for x in arrays(step, shape, rng, ctx):
        before = x.copy()
        out = step.apply(x, ctx)
        assert out.shape == shape
        assert out.dtype == (bool if isinstance(step, Threshold) else x.dtype)
        assert not out[~ctx.brain].any()
        np.testing.assert_array_equal(x, before)
        for i in range(len(x)):
            np.testing.assert_array_equal(step.apply(x[i : i + 1], ctx.rows(slice(i, i + 1)))[0], out[i])
        if not isinstance(step, Threshold) and name not in NOT_IDEMPOTENT:
            np.testing.assert_array_equal(step.apply(out, ctx), out)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", STEPS)
def test_step_without_brain_without_signal_without_items(name, shape, rng):
    step = make(name)
    for ctx in (context(shape, rng, empty=True), context(shape, rng)):
        for x in arrays(step, shape, rng, ctx):
            assert not step.apply(np.zeros_like(x), ctx).any()
            assert step.apply(x[:0], ctx.rows(slice(0))).shape == (0, *shape[1:])


@pytest.mark.parametrize("name", STEPS)
def test_step_is_a_frozen_value_that_json_can_hold(name):
    step = make(name)
    assert is_dataclass(step)
    with pytest.raises(FrozenInstanceError):
        step.anything = 1
    assert STEPS[name].__name__ == name
    assert STEPS[name].__doc__
    threshold = () if isinstance(step, Threshold) else (FixedThreshold(1),)
    steps = (step, *threshold) if "map" in step.takes else (*threshold, step)
    made = Pipeline("p", steps)
    assert Pipeline.from_dict(json.loads(json.dumps(made.to_dict()))) == made


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", list_pipelines())
def test_pipeline(name, shape, rng):
    ctx = context(shape, rng)
    maps = rng.random(shape)
    lesion = rng.random(shape) < 0.2
    made = pipeline(name).fit(maps, ctx, lesion)
    assert made.threshold.value is not None
    scores, masks = made.score(maps, ctx), made.mask(maps, ctx)
    assert scores.shape == masks.shape == shape
    assert (scores.dtype, masks.dtype) == (np.float32, bool)
    assert not scores[~ctx.brain].any()
    assert not masks[~ctx.brain].any()
    last = slice(len(maps) - 1, None)
    np.testing.assert_array_equal(made.mask(maps[last], ctx.rows(last)), masks[last])
    np.testing.assert_array_equal(made.score(maps.astype(np.float16), ctx).dtype, np.float32)
    assert Pipeline.from_dict(json.loads(json.dumps(made.to_dict()))) == made
    assert made.description


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", list_pipelines())
def test_pipeline_empty_cases(name, shape, rng):
    made = pipeline(name).with_threshold(0.5)
    empty = context(shape, rng, empty=True)
    assert not made.mask(rng.random(shape), empty).any()
    assert not made.mask(np.zeros(shape), context(shape, rng)).any()
    assert made.mask(np.zeros((0, *shape[1:])), empty.rows(slice(0))).shape == (0, *shape[1:])
