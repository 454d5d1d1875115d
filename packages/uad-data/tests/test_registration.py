"""Rigid and affine registration."""

import numpy as np
import pytest
from scipy import ndimage

from uad_data.errors import InputError
from uad_data.preparation.registration import register
from uad_data.preparation.templates import Template, load_template


@pytest.fixture(scope="module")
def brain() -> Template:
    return load_template(spacing=4.0)


def turn(degrees: tuple[float, float, float], shift: tuple[float, float, float], scale: float = 1.0) -> np.ndarray:
    """Rotation about x, y, z, one after the other, then a shift in mm."""
    matrix = np.eye(4)
    for angle, (i, j) in zip(np.deg2rad(degrees), ((1, 2), (0, 2), (0, 1)), strict=True):
        step = np.eye(4)
        step[[i, i, j, j], [i, j, i, j]] = np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)
        matrix = step @ matrix
    matrix[:3, :3] *= scale
    matrix[:3, 3] = shift
    return matrix


def error_mm(found: np.ndarray, true: np.ndarray, brain: Template) -> float:
    """Largest error within the brain."""
    points = np.argwhere(brain.brain)[::7, ::-1] @ brain.affine[:3, :3].T + brain.affine[:3, 3]
    apart = points @ (found - true)[:3, :3].T + (found - true)[:3, 3]
    return float(np.linalg.norm(apart, axis=1).max())


@pytest.mark.parametrize(("degrees", "shift"), [((25, 0, 10), (30, -20, 60)), ((-35, 10, -20), (0, 5, 0))])
def test_rigid_finds_the_turn_in_the_header(brain, degrees, shift):
    true = turn(degrees, shift)
    found = register(brain.image, true @ brain.affine, brain.image, brain.affine)
    assert error_mm(found, true, brain) < 1.0
    np.testing.assert_allclose(found[:3, :3] @ found[:3, :3].T, np.eye(3), atol=1e-6)
    np.testing.assert_array_equal(found[3], [0, 0, 0, 1])


def test_affine_of_an_inverted_thick_sliced_scan(brain):
    true = turn((15, -5, 8), (10, 0, -25), scale=1.12)
    # Slices of 8 mm, contrast reversed, background far from 0, skull around.
    image = np.where(brain.brain, 1.2 - brain.image, 0)[::2] + 3
    mask = brain.brain[::2]
    image[~mask] = np.random.default_rng(0).uniform(0, 9, (~mask).sum())
    affine = true @ brain.affine @ np.diag([1, 1, 2, 1.0])
    found = register(
        image, affine, brain.image, brain.affine, transform="affine", moving_mask=mask, fixed_mask=brain.brain
    )
    assert error_mm(found, true, brain) < 5


def test_same_seed_same_bits_and_no_noise(brain, capfd):
    moving = ndimage.shift(brain.image, (1.3, 0.4, -2.2), order=1)
    one, two = (register(moving, brain.affine, brain.image, brain.affine, seed=3) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert capfd.readouterr() == ("", "")


def test_bad_requests(brain):
    good = (brain.image, brain.affine)
    with pytest.raises(InputError, match="'rigid' or 'affine'"):
        register(*good, *good, transform="elastic")
    with pytest.raises(InputError, match="moving image: expected a finite volume"):
        register(np.full((3, 3, 3), np.nan), np.eye(4), *good)
    with pytest.raises(InputError, match="fixed affine"):
        register(*good, brain.image, np.zeros((4, 4)))
    with pytest.raises(InputError, match="moving mask: expected the image's shape"):
        register(*good, *good, moving_mask=np.ones((2, 2, 2), bool))
    with pytest.raises(InputError, match="0 voxels without contrast"):
        register(*good, *good, moving_mask=np.zeros_like(brain.brain))
