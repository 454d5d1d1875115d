import numpy as np
import pytest

from uad_data.phantom.anatomy import build_anatomy
from uad_data.phantom.contrast import FLUID, GREY, NOISE, SEQUENCES, acquire, paint

SPACING = 4.0


@pytest.fixture(scope="module")
def person():
    return build_anatomy(np.random.default_rng(5), spacing=SPACING)


@pytest.mark.parametrize("seed", [0, 1])
def test_tissue_contrast_lies_in_the_measured_ranges(person, seed):
    images = paint(np.random.default_rng(seed), person)
    assert tuple(images) == SEQUENCES
    deep = person.brain & (person.depth > 6)
    white, grey = deep & (person.white > 0.97) & (person.wall > 12), deep & (person.grey > 0.97) & (person.wall > 8)
    fluid = person.brain & (person.wall < -2) & (person.fluid > 0.97) & (person.mni_z > 0)
    for name, image in images.items():
        reference = np.median(image[white])
        assert GREY[name][0] - 0.08 < np.median(image[grey]) / reference < GREY[name][1] + 0.12
        assert FLUID[name][0] - 0.05 < np.median(image[fluid]) / reference < FLUID[name][1] + 0.35


def test_fluid_is_dark_on_flair_and_bright_on_t2(person):
    images = paint(np.random.default_rng(0), person)
    fluid, white = person.brain & (person.fluid > 0.95), person.brain & (person.white > 0.95)
    assert images["flair"][fluid].mean() < 0.6 * images["flair"][white].mean()
    assert images["t2"][fluid].mean() > 2.0 * images["t2"][white].mean()


def test_healthy_caps_are_brighter_than_other_white_matter_on_flair_only(person):
    images = paint(np.random.default_rng(0), person)
    white = person.brain & (person.white > 0.8)
    horn, far = white & (person.wall < 5) & (np.abs(person.mni_y - 33) < 12), white & (person.wall > 18)
    assert images["flair"][horn].mean() > 1.05 * images["flair"][far].mean()
    assert images["t1"][horn].mean() < 1.03 * images["t1"][far].mean()


def test_contrast_agent_lights_vessels(person):
    images = paint(np.random.default_rng(0), person)
    ratio = (images["t1ce"] / images["t1"])[person.brain]
    assert np.percentile(ratio, 99.5) > 1.5 * np.median(ratio)


def test_acquire_has_noise_in_the_measured_range_and_nothing_outside(person):
    flat = np.ones(person.shape, np.float32)
    for seed in range(4):
        scan = acquire(np.random.default_rng(seed), flat, person.brain, sequence="flair", spacing=SPACING)
        assert scan.dtype == np.int16
        assert (scan[~person.brain] == 0).all()
        assert (scan[person.brain] > 0).all()
        both = person.brain[1:] & person.brain[:-1]
        noise = np.diff(scan.astype(float), axis=0)[both].std() / np.sqrt(2) / scan[person.brain].mean()
        assert 0.9 * NOISE["flair"][0] < noise < 1.15 * NOISE["flair"][1]


def test_acquire_bias_varies_slowly_over_the_brain(person):
    flat = np.ones(person.shape, np.float32)
    scan = acquire(np.random.default_rng(3), flat, person.brain, sequence="t1", spacing=SPACING)
    middle = person.shape[1] // 2
    front, back = (scan[:, half][person.brain[:, half]].mean() for half in (slice(middle, None), slice(None, middle)))
    noise_of_means = 0.04 * scan[person.brain].mean() / np.sqrt(person.brain.sum() / 2)
    assert abs(front - back) > 5 * noise_of_means
