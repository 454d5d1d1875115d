import numpy as np
import pytest
from scipy import ndimage

from uad_postproc import Context, InputError, list_pipelines
from uad_postproc.pipelines import pipeline
from uad_postproc.steps import GaussianFilter, GaussianScales


def disc(shape, centre, radius):
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 <= radius**2


@pytest.fixture
def scans(rng):
    """Six slices: noise in the brain, a bright rim, specks, and in the last three a round lesion."""
    brain = np.repeat(disc((64, 64), (32, 32), 28)[None], 6, axis=0)
    maps = 0.02 * rng.random(brain.shape)
    maps[:, ~disc((64, 64), (32, 32), 27)] = 0.5
    maps[rng.random(maps.shape) < 0.01] = 0.5
    lesion = np.zeros_like(brain)
    lesion[3:] = disc((64, 64), (28, 36), 7)
    return np.where(lesion, 0.4, maps), Context(brain, (1.5, 1.5)), lesion


def test_poster_is_residual_median_erosion_threshold_morphology_small_objects():
    names = [type(step).__name__ for step in pipeline("poster2023").steps]
    assert names == [
        "Residual",
        "MedianFilter",
        "BrainErosion",
        "HealthyQuantile",
        "Opening",
        "Closing",
        "SmallObjectRemoval",
    ]
    assert not pipeline("poster2023").needs_labels


def test_poster_finds_the_lesion_and_neither_rim_nor_specks(scans):
    maps, context, lesion = scans
    fitted = pipeline("poster2023").fit(maps[:3], context.rows(slice(3)))
    mask = fitted.mask(maps, context)
    overlap = 2 * (mask & lesion).sum() / (mask.sum() + lesion.sum())
    # The median rounds the lesion off; voxels far from it are the 2 % that the healthy quantile allows.
    assert (mask & lesion).sum() > 0.9 * lesion.sum()
    assert pipeline("poster2023").with_threshold(0.1).mask(maps, context)[:3].sum() == 0
    assert overlap > 0.8


def test_lambert_chooses_from_its_grid(scans):
    maps, context, lesion = scans
    fitted = pipeline("lambert2021").fit(maps, context, lesion)
    assert fitted.needs_labels
    assert fitted.threshold.value in [np.float32(value) for value in fitted.threshold.grid]
    mask = fitted.mask(maps, context)
    assert mask[3:][lesion[3:]].all()


def test_unknown_name_gives_the_nearest():
    with pytest.raises(InputError, match="unknown pipeline 'poster2032'; did you mean 'poster2023'"):
        pipeline("poster2032")
    assert list_pipelines() == [
        "poster2023",
        "lambert2021",
        "context_vae",
        "kascenas2022",
        "thesis_ct",
        "smoothed",
        "pinaya2022",
    ]


def steps_of(name):
    return [type(step).__name__ for step in pipeline(name).steps]


def test_context_vae_is_what_the_paper_lists():
    names = ["MinMaxResidual", "GaussianMixture", "FixedThreshold", "Closing", "SmallObjectRemoval"]
    assert steps_of("context_vae") == names
    mixture = pipeline("context_vae").steps[1]
    assert (mixture.components, mixture.lesion) == (3, "brightest")
    assert not pipeline("context_vae").needs_fit


def test_context_vae_needs_no_validation_data_and_no_common_range(scans):
    maps, context, lesion = scans
    image = np.where(context.brain, 0.5 + 0.4 * np.sin(np.arange(64) / 9), 0) * np.ones((6, 1, 1))
    reconstruction = image.copy()
    image = np.where(lesion, image - 0.4, image) + 0.03 * np.random.default_rng(1).standard_normal(maps.shape)
    image[:, 32, 32] = image[0][context.brain[0]].min() - 0.4  # one dark voxel: equal ranges but for the scale
    reconstruction[:, 32, 32] = image[:, 32, 32]
    context = Context(context.brain, image=image, reconstruction=100 + 50 * reconstruction)
    mask = pipeline("context_vae").mask(maps, context)
    assert 2 * (mask & lesion)[3:].sum() / (mask[3:].sum() + lesion[3:].sum()) > 0.9


def test_kascenas_erodes_by_a_window_of_five(rng):
    brain = ndimage.gaussian_filter(rng.random((2, 40, 40)), (0, 3, 3)) > 0.49
    erosion = pipeline("kascenas2022").steps[1]
    window = ndimage.binary_erosion(brain, np.ones((1, 5, 5), bool), border_value=1)
    np.testing.assert_array_equal(erosion.apply(brain, Context(brain)), window)
    assert steps_of("kascenas2022") == ["Residual", "BrainErosion", "MedianFilter", "BestDice", "SmallObjectRemoval"]


def test_smoothed_finds_what_is_wide_and_faint_and_drops_what_is_thin(rng):
    brain, lesion = np.ones((1, 64, 64), bool), np.zeros((1, 64, 64), bool)
    lesion[0, 20:36, 20:36] = True
    maps = np.abs(rng.standard_normal(brain.shape)).astype(np.float32) + lesion
    maps[0, 50, :] += 2  # a line that is brighter than the lesion, to the edge of the brain

    def found(score):
        return lesion[score >= np.partition(score.ravel(), -lesion.sum())[-lesion.sum()]].mean()

    score = pipeline("smoothed").score(maps, Context(brain))
    one = [GaussianFilter(radius=radius).apply(maps, Context(brain)) for radius in (2, 6)]
    np.testing.assert_allclose(score, np.sqrt(one[0] * one[1]), rtol=1e-5)
    assert found(score) > 0.8 > 0.6 > found(maps)
    assert found(score) > max(found(each) for each in one) - 0.02
    with pytest.raises(InputError, match="two or more"):
        GaussianScales(radii=(2.0,))
    with pytest.raises(InputError, match="positive"):
        GaussianScales(radii=(2.0, 0.0))


def test_thesis_and_pinaya_differ_in_whose_residual_it_is(scans):
    maps, context, _ = scans
    image = np.random.default_rng(1).random(maps.shape)
    other = Context(context.brain, image=image, reconstruction=image**2)
    thesis, pinaya = pipeline("thesis_ct"), pipeline("pinaya2022")
    np.testing.assert_allclose(thesis.score(maps, other), np.abs(image - image**2) * context.brain, atol=1e-6)
    np.testing.assert_allclose(pinaya.score(maps, other), maps * context.brain, rtol=1e-6)
    assert (steps_of("thesis_ct"), steps_of("pinaya2022")) == (
        ["Residual", "HealthyQuantile"],
        ["HealthyQuantile", "Opening", "Closing"],
    )
