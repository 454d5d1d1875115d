import json

import numpy as np
import pytest

from uad_postproc import Context, InputError, Pipeline
from uad_postproc.steps import FixedThreshold, HealthyPValue


def test_p_values_count_the_healthy_voxels_at_least_as_high(rng):
    healthy = rng.gamma(2, size=20_000).astype(np.float32)
    step = HealthyPValue().fit(healthy)
    x = np.sort(rng.choice(healthy, 500)).reshape(1, 20, 25)
    level = step.apply(x, Context(np.ones(x.shape, bool)))
    expected = -np.log10((1 + (healthy[:, None] >= x.ravel()).sum(axis=0)) / (1 + healthy.size))
    np.testing.assert_allclose(level.ravel(), expected, atol=0.02)
    assert (np.diff(level.ravel()) >= 0).all()


def test_it_ends_at_what_the_number_of_voxels_allows(rng):
    healthy = rng.random(999, dtype=np.float32)
    x = np.array([[[-5.0, 100.0]]], np.float32)
    level = HealthyPValue().fit(healthy).apply(x, Context(np.ones(x.shape, bool)))
    np.testing.assert_allclose(level, [[[0, -np.log10(2 / 1000)]]], atol=1e-6)


def test_healthy_maps_come_out_uniform_and_lesions_are_left_out(rng):
    lesion = rng.random(300_000) < 0.1
    scores = (rng.normal(size=300_000) + 5 * lesion).astype(np.float32)
    step = HealthyPValue().fit(scores, lesion)
    assert step == HealthyPValue().fit(scores[~lesion])
    fresh = rng.normal(size=(1, 200, 200)).astype(np.float32)
    level = step.apply(fresh, Context(np.ones(fresh.shape, bool)))
    for p in (0.5, 0.1, 0.01):
        assert (10**-level <= p).mean() == pytest.approx(p, rel=0.15)


def test_ties_share_their_p_value():
    step = HealthyPValue().fit(np.array([0, 0, 0, 1], np.float32))
    level = step.apply(np.array([[[0, 1]]], np.float32), Context(np.ones((1, 1, 2), bool)))
    np.testing.assert_allclose(10**-level, [[[1, 2 / 5]]], rtol=1e-6)


def test_fitted_step_in_a_pipeline_survives_json(rng):
    step = HealthyPValue().fit(rng.random(2000, dtype=np.float32))
    made = Pipeline("p", (step, FixedThreshold(1)))
    assert Pipeline.from_dict(json.loads(json.dumps(made.to_dict()))) == made
    maps = rng.random((1, 60, 60))
    assert made.mask(maps, Context(np.ones(maps.shape, bool))).mean() == pytest.approx(0.1, abs=0.02)


def test_what_is_missing_or_odd_is_refused():
    with pytest.raises(InputError, match="not fitted"):
        HealthyPValue().apply(np.zeros((1, 2, 2), np.float32), Context(np.ones((1, 2, 2), bool)))
    with pytest.raises(InputError, match="no healthy voxel"):
        HealthyPValue().fit(np.zeros(0, np.float32))
    with pytest.raises(InputError, match="both or neither"):
        HealthyPValue(values=(1.0,))
    with pytest.raises(InputError, match="finite and rising"):
        HealthyPValue(values=(1.0, 0.5), levels=(0.0, 1.0))
