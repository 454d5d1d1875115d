import numpy as np
import pytest

from uad_postproc import Context, InputError
from uad_postproc.steps import AtlasPrior, SymmetryPrior


@pytest.fixture
def slice_():
    """Brain from column 2 to 10, so that 6 is the middle; bright spots at 4, 8 (its mirror) and, above, at 3."""
    brain = np.zeros((1, 5, 14), bool)
    brain[0, :, 2:11] = True
    x = np.zeros(brain.shape, np.float32)
    x[0, 2, 4], x[0, 2, 8], x[0, 0, 3] = 1.0, 0.6, 2.0
    return x, Context(brain)


def test_subtract_and_limit_by_hand(slice_):
    x, context = slice_
    subtracted = SymmetryPrior(slack=0).apply(x, context)
    assert subtracted[0, 2, 4] == pytest.approx(0.4)
    assert (subtracted[0, 2, 8], subtracted[0, 0, 3]) == (0, 2)
    limited = SymmetryPrior(slack=0, mode="limit").apply(x, context)
    np.testing.assert_array_equal(limited[limited > 0], np.float32([2.0, 1.0]))
    assert SymmetryPrior(slack=0, weight=0.5).apply(x, context)[0, 2, 8] == pytest.approx(0.1)


def test_slack_forgives_a_shift(slice_):
    x, context = slice_
    x[0, 2, 8], x[0, 2, 9] = 0, 0.6
    assert SymmetryPrior(slack=0).apply(x, context)[0, 2, 4] == 1
    assert SymmetryPrior(slack=1).apply(x, context)[0, 2, 4] == pytest.approx(0.4)


def test_any_axis_and_what_lies_beyond_the_array(slice_):
    x, context = slice_
    expected = SymmetryPrior(slack=0).apply(x, context)
    turned = Context(context.brain.swapaxes(1, 2).copy())
    out = SymmetryPrior(axis=0, slack=0).apply(x.swapaxes(1, 2).copy(), turned)
    np.testing.assert_array_equal(out.swapaxes(1, 2), expected)
    cut = Context(context.brain[:, :, 2:])  # columns left of the middle's mirror are missing on neither side
    np.testing.assert_array_equal(SymmetryPrior(slack=0).apply(x[:, :, 2:], cut), expected[:, :, 2:])


def test_a_symmetric_volume_loses_everything(rng):
    half = rng.random((2, 4, 5, 6), dtype=np.float32)
    x = np.concatenate([half, half[..., ::-1]], axis=-1)
    assert not SymmetryPrior(slack=0).apply(x, Context(np.ones(x.shape, bool))).any()


def test_atlas_weights_and_power(slice_):
    x, context = slice_
    prior = np.full(x.shape, 0.5)
    prior[0, 0, 3] = 0.25
    weighted = Context(context.brain, prior=prior)
    np.testing.assert_allclose(AtlasPrior().apply(x, weighted), x * prior)
    np.testing.assert_allclose(AtlasPrior(power=2).apply(x, weighted), x * prior**2)
    with pytest.raises(InputError, match="give Context its prior"):
        AtlasPrior().apply(x, context)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SymmetryPrior(axis=3), "axis"),
        (lambda: SymmetryPrior(weight=0), "weight: expected more than 0"),
        (lambda: SymmetryPrior(mode="mirror"), "mode.*'mirror'"),
        (lambda: SymmetryPrior(slack=-1), "slack"),
        (lambda: AtlasPrior(power=-1), "power"),
        (lambda: Context(np.ones((1, 2, 2), bool), prior=np.ones((2, 2))), "prior: expected the brain's shape"),
        (lambda: Context(np.ones((1, 2, 2), bool), prior=-np.ones((1, 2, 2))), "prior: expected finite weights"),
    ],
)
def test_settings_are_checked(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_axis_that_slices_lack(slice_):
    with pytest.raises(InputError, match="2 spatial axes, found 2"):
        SymmetryPrior(axis=2).apply(*slice_)
