import numpy as np
import pytest

from uad_postproc import Context, InputError, list_pipelines
from uad_postproc.pipelines import pipeline


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
    assert list_pipelines() == ["poster2023", "lambert2021"]
