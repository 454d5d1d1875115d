"""The bias field."""

import numpy as np
import pytest

from uad_data.errors import InputError
from uad_data.preparation.bias_field import bias_field
from uad_data.preparation.templates import load_template


@pytest.fixture(scope="module")
def shaded() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Volume, its field, brain and affine."""
    brain = load_template(spacing=4.0)
    d, h, w = (np.linspace(-1, 1, n) for n in brain.image.shape)
    field = np.exp(0.25 * d[:, None, None] - 0.2 * h[:, None] ** 2 + 0.15 * w).astype(np.float32)
    return 800 * brain.image * field, field, brain.brain, brain.affine


def test_recovers_the_field(shaded):
    volume, field, brain, affine = shaded
    quick = {"work_mm": 8.0, "iterations": 15}
    found = bias_field(volume, affine, brain, **quick)
    assert (found.shape, found.dtype) == (volume.shape, np.float32)
    assert (found > 0).all()
    assert np.log(found[brain]).mean() == pytest.approx(0, abs=1e-3)
    left = np.log(field / found)[brain].std()
    assert left < 0.5 * np.log(field[brain]).std()
    np.testing.assert_array_equal(found, bias_field(volume, affine, brain, **quick))


def test_leaves_an_even_scan_alone(shaded):
    volume, field, brain, affine = shaded
    found = bias_field(volume / field, affine, brain, work_mm=8.0)
    assert np.log(found[brain]).std() < 0.05


def test_thick_slices_and_no_mask(shaded):
    volume, field, brain, affine = shaded
    found = bias_field(volume[::3], affine @ np.diag([1, 1, 3, 1.0]))
    inner = brain[::3] & (volume[::3] > 300)
    assert np.corrcoef(np.log(found[inner]), np.log(field[::3][inner]))[0, 1] > 0.8


def test_bad_requests(shaded):
    volume, _, brain, affine = shaded
    with pytest.raises(InputError, match="finite volume"):
        bias_field(volume[0], affine)
    with pytest.raises(InputError, match="mask of shape"):
        bias_field(volume, affine, brain[1:])
    with pytest.raises(InputError, match="no contrast"):
        bias_field(volume, affine, np.zeros_like(brain))
    with pytest.raises(InputError, match="positive"):
        bias_field(volume, affine, brain, levels=0)
