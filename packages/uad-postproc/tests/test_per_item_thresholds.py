import numpy as np
import pytest
from skimage.filters import threshold_otsu, threshold_yen

from uad_postproc import Context, Pipeline
from uad_postproc.steps import FixedThreshold, Otsu, Yen


@pytest.mark.parametrize(("step", "reference"), [(Otsu(), threshold_otsu), (Yen(), threshold_yen)])
@pytest.mark.parametrize("shape", [(3, 30, 32), (2, 10, 12, 11)])
def test_each_item_has_its_own_from_its_brain(step, reference, shape, rng):
    brain = rng.random(shape) < 0.8
    x = (rng.gamma(2, size=shape) * np.arange(1, shape[0] + 1).reshape(-1, *(1,) * (len(shape) - 1))).astype(np.float32)
    mask = step.apply(np.where(brain, x, -50).astype(np.float32), Context(brain))
    for item, inside, out in zip(x, brain, mask, strict=True):
        expected = inside & (item > np.float32(reference(item[inside])))
        assert expected.any()
        np.testing.assert_array_equal(out, expected)


def test_otsu_separates_two_groups():
    x = np.array([[[0.1, 0.12, 0.9, 0.95]]], np.float32)
    np.testing.assert_array_equal(Otsu().apply(x, Context(np.ones(x.shape, bool))), [[[False, False, True, True]]])


@pytest.mark.parametrize("step", [Otsu(), Yen()])
def test_an_even_item_has_nothing_above(step):
    assert not step.apply(np.full((1, 4, 4), 0.3, np.float32), Context(np.ones((1, 4, 4), bool))).any()


def test_a_pipeline_with_it_needs_no_fit(rng):
    made = Pipeline("p", (Otsu(),))
    maps, context = rng.random((2, 9, 9)), Context(np.ones((2, 9, 9), bool))
    assert not made.needs_fit
    assert made.fit(maps, context) is made
    assert made.threshold.value is None
    assert made.mask(maps, context).any(axis=(1, 2)).all()
    assert made.with_threshold(0.5).threshold == FixedThreshold(0.5)
