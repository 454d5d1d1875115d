import numpy as np
import pytest

from uad_data.errors import InputError
from uad_data.grid import Grid

SHAPE = (10, 20, 30)


def test_rounding_is_forgiven():
    shifted = np.diag([1.0, 1, 3, 1])
    shifted[0, 3] = 0.4
    Grid("a", SHAPE, np.diag([1.0, 1, 3, 1])).require(Grid("b", SHAPE, shifted))


def test_other_shape():
    with pytest.raises(
        InputError, match=r"b: expected the shape \(10, 20, 30\) \(d, h, w\) of a, found \(10, 20, 31\)"
    ):
        Grid("a", SHAPE, np.eye(4)).require(Grid("b", (10, 20, 31), np.eye(4)))


def test_shift_and_far_corner():
    shifted = np.eye(4)
    shifted[1, 3] = 3
    with pytest.raises(InputError, match=r"b: expected the place in space of a, found one that is 3\.0 mm off"):
        Grid("a", SHAPE, np.eye(4)).require(Grid("b", SHAPE, shifted))
    # 29 voxels of 1.1 mm: only the far corner is off, along w.
    with pytest.raises(InputError, match=r"2\.9 mm off"):
        Grid("a", SHAPE, np.eye(4)).require(Grid("b", SHAPE, np.diag([1.1, 1, 1, 1])))
