import json

import numpy as np
import pytest
from scipy import ndimage

from uad_data.errors import InputError
from uad_data.preparation.resampling import resample
from uad_data.preparation.way_back import WayBack
from uad_data.quality import measure

SHAPE = (30, 36, 32)


def ball(shape=SHAPE, *, centre=None, radius=10.0) -> np.ndarray:
    centre = [(n - 1) / 2 for n in shape] if centre is None else centre
    grids = np.ogrid[tuple(slice(n) for n in shape)]
    return sum((grid - c) ** 2 for grid, c in zip(grids, centre, strict=True)) <= radius**2


def smooth(brain: np.ndarray, *, level=100.0) -> np.ndarray:
    field = ndimage.gaussian_filter(np.random.default_rng(3).standard_normal(brain.shape), 6)
    return (brain * (level + 20 * (field - field[brain].mean()) / field.std())).astype(np.float32)


def noisy(volume: np.ndarray, sigma: float, *, magnitude: bool, seed=0) -> np.ndarray:
    real, imaginary = np.random.default_rng(seed).normal(0, sigma, (2, *volume.shape))
    return (np.hypot(volume + real, imaginary) if magnitude else volume + real).astype(np.float32)


def test_dice_and_volume_by_hand() -> None:
    brain, template = np.zeros((2, 4, 5, 6), bool)
    brain[1, 1, 1:5] = True
    template[1, 1, 3:5] = template[2, 2, 2:4] = True
    found = measure(np.ones((4, 5, 6)), brain, spacing=(10, 5, 2), template_brain=template)
    assert found["dice_to_template"] == pytest.approx(2 * 2 / (4 + 4))
    assert found["brain_ml"] == pytest.approx(4 * 100 / 1000)


def test_a_small_brain_in_its_place_agrees_with_the_template_and_a_shifted_or_cut_one_does_not() -> None:
    z, y, x = np.ogrid[-20:21, -24:25, -22:23]

    def brain(side, y0=0.0):
        return (z / (14 * side)) ** 2 + ((y - y0) / (20 * side)) ** 2 + (x / (16 * side)) ** 2 < 1

    template = brain(1.0)
    cut = template & (z < 5)

    def dice(mask):
        return measure(np.ones(mask.shape), mask, spacing=(1, 1, 1), template_brain=template)["dice_to_template"]

    assert dice(template) == 1
    assert dice(brain(0.8)) > 0.97
    assert dice(brain(1.15)) > 0.97
    assert dice(brain(0.5)) < 0.7
    assert dice(brain(0.8, y0=8)) < 0.8
    assert dice(cut) < 0.9


def test_volume_is_that_of_the_person_and_not_of_the_stretched_brain() -> None:
    brain = ball()
    way_back = WayBack(SHAPE, np.eye(4), SHAPE, np.eye(4), np.diag([0.9, 0.8, -1.0, 1]))
    plain = measure(smooth(brain), brain, spacing=(1, 1, 1))["brain_ml"]
    assert measure(smooth(brain), brain, spacing=(1, 1, 1), way_back=way_back)["brain_ml"] == pytest.approx(
        0.72 * plain
    )


@pytest.mark.parametrize("magnitude", [True, False])
def test_snr_from_air(magnitude: bool) -> None:
    shape = (60, 60, 60)
    brain = ball(shape, radius=15)
    found = measure(noisy(smooth(brain), 4.0, magnitude=magnitude), brain, spacing=(1, 1, 1))
    assert found["snr_source"] == "air"
    assert found["snr"] == pytest.approx(100 / 4, rel=0.08)


def test_snr_from_the_brain_where_the_background_is_zero() -> None:
    brain = ball(radius=13)
    found = measure(np.where(brain, noisy(smooth(brain), 5.0, magnitude=False), 0), brain, spacing=(1, 1, 1))
    assert found["snr_source"] == "brain"
    assert found["snr"] == pytest.approx(100 / 5, rel=0.1)


def test_interpolation_between_thick_slices_does_not_pass_for_silence() -> None:
    brain = ball(radius=13)
    native = noisy(smooth(np.ones(SHAPE, bool)), 5.0, magnitude=False)
    fine, scale = (60, 72, 64), np.diag([0.5, 0.5, 0.5, 1])
    way_back = WayBack(SHAPE, np.eye(4), fine, scale, np.eye(4))
    mask = resample(brain, np.eye(4), shape=fine, to=scale) > 0.5
    image = np.where(mask, resample(native, np.eye(4), shape=fine, to=scale), 0)
    found = measure(image, mask, spacing=(0.5, 0.5, 0.5), way_back=way_back)["snr"]
    assert 20 < found < 150
    assert measure(image, mask, spacing=(0.5, 0.5, 0.5))["snr"] > 3 * found


def test_the_worst_sequence_counts() -> None:
    brain = ball(radius=13)
    images = [np.where(brain, noisy(smooth(brain), sigma, magnitude=False), 0) for sigma in (2.0, 10.0)]
    worst = measure(images[1], brain, spacing=(1, 1, 1))
    both = measure(np.stack(images), brain, spacing=(1, 1, 1))
    assert (both["snr"], both["contrast"]) == (worst["snr"], worst["contrast"])
    assert measure(images[0], brain, spacing=(1, 1, 1))["snr"] > 3 * worst["snr"]


def test_coverage_and_border_of_a_scan_that_ends_early() -> None:
    template = ball()
    shift = np.eye(4)
    shift[2, 3] = -2.0  # prepared d = 2 is the raw scan's first slice
    way_back = WayBack((16, 36, 32), np.eye(4), SHAPE, np.eye(4), shift)
    brain = template.copy()
    brain[:2] = brain[18:] = False
    found = measure(smooth(template), brain, spacing=(1, 1, 1), template_brain=template, way_back=way_back)
    assert found["coverage"] == pytest.approx(template[2:18].sum() / template.sum())
    assert found["touches_border"] is True
    brain[17] = False
    assert measure(smooth(brain), brain, spacing=(1, 1, 1), way_back=way_back)["touches_border"] is False


def test_without_a_way_back_the_grid_is_the_scan() -> None:
    whole, cut = ball(), ball(centre=(3, 17.5, 15.5))
    assert measure(smooth(whole), whole, spacing=(1, 1, 1), template_brain=whole)["coverage"] == 1
    assert not measure(smooth(whole), whole, spacing=(1, 1, 1))["touches_border"]
    assert measure(smooth(cut), cut, spacing=(1, 1, 1))["touches_border"]


def test_a_brainstem_that_is_cut_off_is_no_border() -> None:
    brain = ball((60, 60, 60), radius=20)
    brain[:15, 29:32, 29:32] = True
    assert not measure(smooth(brain), brain, spacing=(1, 1, 1))["touches_border"]


def test_contrast_falls_with_noise() -> None:
    brain = ball(radius=13)
    tissue = np.where(np.arange(36)[:, None] % 12 < 6, 80, 140) * np.ones(SHAPE)
    contrasts = [
        measure(noisy(tissue, sigma, magnitude=False), brain, spacing=(1, 1, 1))["contrast"] for sigma in (3, 8, 20)
    ]
    assert contrasts[0] > contrasts[1] > contrasts[2] > 0
    assert contrasts[0] == pytest.approx(60 / (3 + 3), rel=0.5)


def test_a_slice_and_an_empty_brain_can_be_written_as_json() -> None:
    plane = ball((1, 40, 40), radius=15)
    found = measure(np.where(plane, noisy(smooth(plane), 5.0, magnitude=False), 0), plane, spacing=(5, 1, 1))
    assert found["snr"] == pytest.approx(20, rel=0.3)
    assert found["touches_border"] is False
    empty = measure(np.zeros(SHAPE), np.zeros(SHAPE, bool), spacing=(1, 1, 1), template_brain=ball())
    assert (empty["dice_to_template"], empty["snr"], empty["contrast"]) == (0, None, None)
    for record in (found, empty):
        assert json.loads(json.dumps(record, allow_nan=False)) == record


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(InputError, match=r"template_brain: expected the brain's shape \(30, 36, 32\).*\(4, 5, 6\)"):
        measure(np.ones(SHAPE), ball(), spacing=(1, 1, 1), template_brain=np.ones((4, 5, 6), bool))
    with pytest.raises(InputError, match="image: expected"):
        measure(np.ones((4, 5, 6)), ball(), spacing=(1, 1, 1))
