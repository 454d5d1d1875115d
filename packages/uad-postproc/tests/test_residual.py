import numpy as np
import pytest

from uad_postproc import Context, InputError
from uad_postproc.steps import Residual

BRAIN = np.array([[[True, True], [True, False]]])
IMAGE = np.array([[[3.0, 1.0], [2.0, 9.0]]])
RECONSTRUCTION = np.array([[[1.0, 4.0], [2.0, 1.0]]])
OTHER = np.full((1, 2, 2), 7, np.float32)


def test_absolute_and_positive_by_hand():
    context = Context(BRAIN, image=IMAGE, reconstruction=RECONSTRUCTION)
    np.testing.assert_array_equal(Residual().apply(OTHER, context), [[[2, 3], [0, 0]]])
    np.testing.assert_array_equal(Residual(kind="positive").apply(OTHER, context), [[[2, 0], [0, 0]]])


def test_channels_are_averaged():
    image = np.stack([IMAGE, RECONSTRUCTION], axis=1)
    context = Context(BRAIN, image=image, reconstruction=np.stack([RECONSTRUCTION] * 2, axis=1))
    np.testing.assert_array_equal(Residual().apply(OTHER, context), [[[1, 1.5], [0, 0]]])


def test_unsigned_integers_do_not_wrap():
    context = Context(BRAIN, image=IMAGE.astype(np.uint8), reconstruction=RECONSTRUCTION.astype(np.uint8))
    np.testing.assert_array_equal(Residual().apply(OTHER, context), [[[2, 3], [0, 0]]])


def test_without_images_the_map_is_the_residual():
    np.testing.assert_array_equal(Residual().apply(OTHER, Context(BRAIN)), OTHER)


def test_unknown_kind():
    with pytest.raises(InputError, match=r"kind.*'absolute' or 'positive'.*'signed'"):
        Residual(kind="signed")
