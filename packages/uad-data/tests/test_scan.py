import dataclasses

import numpy as np
import pytest

from uad_data.errors import InputError
from uad_data.scan import Scan


def fields(**changes):
    given = {
        "image": np.zeros((2, 3, 4, 5), np.float32),
        "brain": np.ones((3, 4, 5), bool),
        "lesion": np.zeros((3, 4, 5), np.uint8),
        "affine": np.diag([0.5, 2.0, 3.0, 1.0]),
        "modalities": ("t1", "flair"),
        "subject": "ann",
        "pathology": "healthy",
    }
    return given | changes


def test_spacing_is_in_the_order_of_the_axes():
    scan = Scan(**fields())
    assert scan.spacing == (3.0, 2.0, 0.5)
    assert scan.voxel_ml == pytest.approx(0.003)


def test_oblique_spacing():
    turn = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([0.5, 2.0, 3.0])
    assert Scan(**fields(affine=affine)).spacing == pytest.approx((3.0, 2.0, 0.5))


def test_unknown_lesion_is_allowed_and_fields_are_fixed():
    scan = Scan(**fields(lesion=None))
    with pytest.raises(dataclasses.FrozenInstanceError):
        scan.subject = "bob"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image": np.zeros((2, 3, 4, 5))}, "image: expected float32, found float64"),
        ({"image": np.zeros((3, 4, 5), np.float32)}, r"image: expected a 4-dimensional array, found \(3, 4, 5\)"),
        ({"image": np.full((2, 3, 4, 5), np.nan, np.float32)}, "image: expected finite values, found NaN"),
        ({"modalities": ("t1",)}, "modalities: expected 2 names"),
        ({"modalities": ("t1", "t1")}, "modalities: expected different names"),
        ({"brain": np.ones((3, 4, 5), np.uint8)}, "brain: expected bool, found uint8"),
        ({"brain": np.ones((3, 4, 6), bool)}, r"brain: expected the image's shape \(3, 4, 5\), found \(3, 4, 6\)"),
        ({"lesion": np.zeros((3, 4, 6), np.uint8)}, "lesion: expected the image's shape"),
        ({"lesion": np.zeros((3, 4, 5), bool)}, "lesion: expected uint8, found bool"),
        ({"affine": np.diag([-1.0, 1, 1, 1])}, "affine: expected axes w, h, d towards R, A, S, found"),
        ({"affine": np.full((4, 4), np.nan)}, "affine: expected 4 × 4 finite numbers"),
        ({"subject": ""}, "subject: expected a name"),
        ({"pathology": ""}, "pathology: expected a name"),
    ],
)
def test_broken_field_is_named(changes, message):
    with pytest.raises(InputError, match=message):
        Scan(**fields(**changes))


def test_message_names_subject_and_session():
    with pytest.raises(InputError, match="subject 'ann', session 'two'"):
        Scan(**fields(session="two", modalities=()))
