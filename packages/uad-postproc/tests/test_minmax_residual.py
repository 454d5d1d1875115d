import numpy as np
import pytest

from uad_postproc import Context, InputError
from uad_postproc.steps import MinMaxResidual, Residual

BRAIN = np.array([[[True, True, True], [True, True, False]]])
IMAGE = np.array([[[0.0, 1.0, 0.5], [0.2, 0.4, 9.0]]])
OTHER = np.full(BRAIN.shape, 7, np.float32)


@pytest.mark.parametrize(("scale", "shift"), [(1, 0), (0.25, 0.3), (3, -1)])
def test_a_reconstruction_in_another_range_leaves_no_residual(scale, shift):
    context = Context(BRAIN, image=IMAGE, reconstruction=IMAGE * scale + shift)
    np.testing.assert_allclose(MinMaxResidual().apply(OTHER, context), np.zeros(BRAIN.shape), atol=1e-6)


def test_by_hand_and_positive():
    reconstruction = np.array([[[2.0, 4.0, 2.5], [3.0, 2.0, 80.0]]])  # brought to 0, 1, 0.25, 0.5, 0
    context = Context(BRAIN, image=IMAGE, reconstruction=reconstruction)
    absolute, positive = MinMaxResidual().apply(OTHER, context), MinMaxResidual("positive").apply(OTHER, context)
    np.testing.assert_allclose(absolute, [[[0, 0, 0.25], [0.3, 0.4, 0]]], atol=1e-6)
    np.testing.assert_allclose(positive, [[[0, 0, 0.25], [0, 0.4, 0]]], atol=1e-6)


def test_items_and_channels_have_their_own_range(rng):
    image = rng.random((2, 3, 5, 6))
    brain = np.ones((2, 5, 6), bool)
    scale = np.arange(1, 7).reshape(2, 3, 1, 1)
    context = Context(brain, image=image, reconstruction=image * scale - scale)
    assert MinMaxResidual().apply(np.zeros(brain.shape, np.float32), context).max() < 1e-5


def test_an_even_reconstruction_is_left_as_it_is():
    context = Context(BRAIN, image=IMAGE, reconstruction=np.full(IMAGE.shape, 0.3))
    np.testing.assert_allclose(MinMaxResidual().apply(OTHER, context), Residual().apply(OTHER, context), atol=1e-6)


def test_without_images_the_map_is_the_residual():
    np.testing.assert_array_equal(MinMaxResidual().apply(OTHER, Context(BRAIN)), OTHER)


def test_unknown_kind():
    with pytest.raises(InputError, match=r"MinMaxResidual: kind.*'signed'"):
        MinMaxResidual(kind="signed")
