import numpy as np
import pytest

from uad_data.phantom.anatomy import build_anatomy
from uad_data.phantom.cohort import make_subject
from uad_data.phantom.contrast import paint
from uad_data.phantom.lesions import INTENSITY, VOLUME_ML, add_lesion, draw_lesion

SPACING = 4.0
KINDS = tuple(VOLUME_ML)


@pytest.fixture(scope="module")
def person():
    return build_anatomy(np.random.default_rng(1), spacing=SPACING)


@pytest.fixture(scope="module")
def lesions(person):
    return {kind: draw_lesion(np.random.default_rng(7), person, pathology=kind, size=0.6) for kind in KINDS}


def paint_with(lesion):
    return paint(np.random.default_rng(2), lesion.anatomy)


def test_healthy_has_no_lesion(person):
    lesion = draw_lesion(np.random.default_rng(0), person, pathology="healthy", size=0.5)
    assert not lesion.mask.any()
    assert lesion.anatomy is person


@pytest.mark.parametrize("kind", KINDS)
def test_image_changes_in_the_mask_and_where_tissue_moved_and_nowhere_else(person, lesions, kind):
    lesion = lesions[kind]
    mask = lesion.mask > 0
    healthy, ill = paint(np.random.default_rng(2), person), add_lesion(paint_with(lesion), lesion)
    assert mask.any()
    assert not (mask & ~person.brain).any()
    for name in healthy:
        difference = np.abs(ill[name] - healthy[name])
        assert difference[~mask & ~lesion.moved].max() == 0
        assert (difference[mask] > 1e-4).mean() > 0.9


@pytest.mark.parametrize("kind", KINDS)
def test_volume_is_what_was_asked_for_and_grows_with_size(person, kind):
    volumes = []
    for size in (0.1, 0.9):
        mask = draw_lesion(np.random.default_rng(11), person, pathology=kind, size=size).mask > 0
        volumes.append(mask.sum() * SPACING**3 / 1000)
    low, high = VOLUME_ML[kind]
    assert 0.2 * low < volumes[0] < volumes[1] < 1.6 * high


@pytest.mark.parametrize(
    ("kind", "label", "part"),
    [
        ("tumour", 2, "infiltration"),
        ("ms", 1, "ms"),
        ("stroke_acute", 1, "stroke"),
        ("stroke_chronic", 1, "cavity"),
        ("cyst_dark", 1, "cyst"),
        ("textured", 1, "textured"),
    ],
)
def test_contrast_lies_in_the_measured_range(lesions, kind, label, part):
    lesion = lesions[kind]
    image = add_lesion(paint_with(lesion), lesion)["flair"]
    core = next(p for p in lesion.parts if p.label == label)
    healthy = lesion.anatomy.tissue & (lesion.mask == 0)
    ratio = np.median(image[(core.strength > 0.8) & (lesion.mask == label)]) / np.median(image[healthy])
    low, high = INTENSITY[part]["flair"]
    assert low - 0.12 < ratio < high + 0.12


def test_textured_tissue_has_the_mean_but_not_the_spread_of_healthy_tissue(lesions):
    lesion = lesions["textured"]
    plain = paint_with(lesion)["flair"]
    image = add_lesion(paint_with(lesion), lesion)["flair"]
    mask = lesion.parts[0].strength > 0.8
    assert image[mask].mean() == pytest.approx(plain[mask].mean(), rel=0.12)
    detail = [np.abs(np.diff(v, axis=1))[mask[:, 1:] & mask[:, :-1]].mean() for v in (image, plain)]
    assert detail[0] > 1.15 * detail[1]


def test_a_mass_pushes_tissue_away(person, lesions):
    for kind in ("tumour", "cyst_dark"):
        outside = lesions[kind].moved & (lesions[kind].mask == 0)
        assert np.abs(lesions[kind].anatomy.white - person.white)[outside].max() > 0.1
    for kind in ("ms", "stroke_acute", "stroke_chronic", "textured"):
        assert not lesions[kind].moved.any()


def test_some_tumours_have_a_rim_that_enhances_around_a_dark_core(person):
    for seed in range(12):
        lesion = draw_lesion(np.random.default_rng(seed), person, pathology="tumour", size=0.8)
        mask = lesion.mask
        if (mask == 1).sum() > 20:
            break
    images = add_lesion(paint_with(lesion), lesion)
    core, oedema, rim = (np.median(images["t1ce"][mask == label]) for label in (1, 2, 3))
    assert rim > 1.2 * oedema
    assert core < oedema
    assert np.median(images["flair"][mask == 2]) > np.median(images["flair"][mask == 1])


def test_multiple_sclerosis_is_many_spots_near_the_ventricles(person, lesions):
    from scipy import ndimage

    mask = lesions["ms"].mask > 0
    assert ndimage.label(mask)[1] >= 8
    assert np.median(person.wall[mask]) < np.median(person.wall[person.tissue])


def test_a_lesion_stays_on_its_side(person, lesions):
    for kind in ("tumour", "stroke_acute", "stroke_chronic", "textured"):
        x = lesions[kind].anatomy.mni_x[lesions[kind].mask > 0]
        assert (x > 0).all() or (x < 0).all()


def test_a_spot_at_the_edge_of_the_grid_is_cut_there():
    # The spots of this person reach beyond the grid.
    assert make_subject(23, spacing_mm=8.0).lesion.any()
