"""The phantom's CT: units, anatomy of the head, seven pathologies with exact masks, and a cohort of it."""

import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from uad_data.brain_extraction import ct as ct_extraction
from uad_data.brain_extraction import extract_brain
from uad_data.cli import main
from uad_data.cohort import Cohort
from uad_data.errors import InputError
from uad_data.phantom import CT_PATHOLOGIES, make_subject, subject_plan, write_phantom
from uad_data.phantom.anatomy import build_anatomy
from uad_data.phantom.ct import GREY, WHITE, paint_ct
from uad_data.phantom.ct_lesions import HU, WIDENED, add_ct_lesion, draw_ct_lesion
from uad_data.readers import read_volume

SPACING = 5.0


@pytest.fixture(scope="module")
def anatomy():
    return build_anatomy(np.random.default_rng(4), spacing=SPACING)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("ct") / "cohort"
    main(["phantom", "--modality", "ct", "--subjects", "3", "--spacing", "8", "--out", str(out)])
    return out


def test_the_cohort_reads_back(folder):
    cohort = Cohort.read(folder / "cohort.csv")
    assert cohort.modalities == ("ct",)
    assert list(cohort.table["pathology"]) == ["healthy", "atrophy", "healthy"]
    assert {path.name for path in (folder / "sub-001").iterdir()} == {"ct.nii.gz", "brain.nii.gz", "lesion.nii.gz"}
    scan, subject = cohort.load(1), make_subject(1, spacing_mm=8.0, modality="ct")
    np.testing.assert_array_equal(scan.image[0], subject.images["ct"].transpose(2, 1, 0))
    np.testing.assert_array_equal(scan.lesion, subject.lesion.transpose(2, 1, 0))
    np.testing.assert_array_equal(scan.brain, subject.brain.transpose(2, 1, 0))
    np.testing.assert_allclose(scan.affine, subject.affine)


def test_both_modalities_scan_the_same_brain():
    mri, ct = (make_subject(0, spacing_mm=8.0, modality=name) for name in ("mri", "ct"))
    assert mri.brain.sum() == ct.brain.sum()
    offset = np.rint((mri.affine - ct.affine)[:3, 3] / 8).astype(int)
    window = tuple(slice(o, o + n) for o, n in zip(offset, mri.brain.shape, strict=True))
    np.testing.assert_array_equal(ct.brain[window], mri.brain)


def test_a_folder_of_the_other_modality_is_refused(folder):
    with pytest.raises(InputError, match="choose another folder"):
        write_phantom(folder, subjects=1, spacing_mm=8.0)
    with pytest.raises(InputError, match="modality must be mri or ct, found 'pet'"):
        write_phantom(folder / "x", modality="pet")
    with pytest.raises(InputError, match="found 'pet'"):
        make_subject(0, spacing_mm=8.0, modality="pet")


def test_the_plan():
    plan = [subject_plan(i, "ct") for i in range(56)]
    assert sum(p == "healthy" for p, _, _ in plan) == 28
    assert {s for p, s, _ in plan if p != "healthy"} == {"val", "test"}
    for split in ("val", "test"):
        assert {p for p, s, _ in plan if s == split} == set(CT_PATHOLOGIES)
    for pathology in CT_PATHOLOGIES[1:]:
        assert sorted(s for p, s, _ in plan if p == pathology) == ["test", "test", "test", "val"]


def test_a_head_has_air_bone_fat_and_a_brain_of_textbook_density():
    subject = make_subject(2, spacing_mm=4.0, modality="ct")
    image, brain = subject.images["ct"].astype(float), subject.brain
    assert np.median(image[:2, :2]) == pytest.approx(-1000, abs=5)
    assert image.min() >= -1024
    assert (image > 300).mean() > 0.02
    assert (image[brain] > 300).mean() < 0.02
    assert ((image > -110) & (image < -60)).mean() > 0.01
    assert 25 < np.median(image[brain]) < 45


@pytest.mark.parametrize("pathology", CT_PATHOLOGIES[1:])
def test_the_mask_is_where_the_image_changed(anatomy, pathology):
    for seed in (1, 2):
        lesion = draw_ct_lesion(np.random.default_rng(seed), anatomy, pathology=pathology, size=0.6)
        before = paint_ct(np.random.default_rng(7), lesion.anatomy)
        after = add_ct_lesion(before, lesion)
        mask = lesion.mask > 0
        assert mask.any()
        assert not (mask & ~anatomy.brain).any()
        np.testing.assert_array_equal(after[~mask], before[~mask])
        same = ~lesion.moved
        np.testing.assert_array_equal(before[same], paint_ct(np.random.default_rng(7), anatomy)[same])
        if pathology != "atrophy":
            assert (np.abs(after - before)[mask] > 0.5).mean() > 0.8


def test_atrophy_is_widened_fluid_and_grows_with_severity(anatomy):
    mild, severe = (
        draw_ct_lesion(np.random.default_rng(3), anatomy, pathology="atrophy", size=size) for size in (0.0, 1.0)
    )
    gain = severe.anatomy.fluid - anatomy.fluid
    np.testing.assert_array_equal(severe.mask > 0, anatomy.brain & (gain >= WIDENED))
    assert severe.anatomy.fluid[anatomy.brain].sum() > mild.anatomy.fluid[anatomy.brain].sum()
    assert severe.mask.sum() > 1.3 * mild.mask.sum()
    for name in ("grey", "white", "fluid"):
        assert getattr(severe.anatomy, name).min() > -1e-5
    np.testing.assert_allclose(severe.anatomy.grey + severe.anatomy.white + severe.anatomy.fluid, 1, atol=1e-5)


@pytest.mark.parametrize(
    ("pathology", "brighter"),
    [("bleed", True), ("aneurysm", True), ("cavernoma", True), ("ischaemia", False), ("atrophy", False)],
)
def test_hyperdense_and_hypodense(anatomy, pathology, brighter):
    lesion = draw_ct_lesion(np.random.default_rng(5), anatomy, pathology=pathology, size=0.5)
    image = add_ct_lesion(paint_ct(np.random.default_rng(7), lesion.anatomy), lesion)
    inside = image[(lesion.mask > 0) & (lesion.mask != 2)]
    normal = image[lesion.anatomy.tissue & (lesion.mask == 0)]
    assert (np.median(inside) > np.median(normal) + 3) == brighter
    assert (np.median(inside) < np.median(normal) - 3) == (not brighter)


def test_classes_of_a_tumour_have_the_density_of_their_kind(anatomy):
    lesion = draw_ct_lesion(np.random.default_rng(6), anatomy, pathology="tumour", size=0.9)
    image = add_ct_lesion(paint_ct(np.random.default_rng(7), lesion.anatomy), lesion)
    median = {label: np.median(image[lesion.mask == label]) for label in (1, 2, 3)}
    assert median[1] < median[2] < median[3]
    assert HU["necrosis"][0] - 3 < median[1] < HU["necrosis"][1] + 5


def test_brain_extraction_finds_it_with_a_haematoma_inside(monkeypatch):
    monkeypatch.setattr(ct_extraction, "WORK_MM", 4.0)
    subject = make_subject(11, spacing_mm=4.0, modality="ct")
    volume = subject.images["ct"].transpose(2, 1, 0).astype(np.float32)
    brain = subject.brain.transpose(2, 1, 0)
    found = extract_brain(volume, subject.affine, modality="ct")
    assert 2 * (found & brain).sum() / (found.sum() + brain.sum()) > 0.93


def test_the_file_is_in_hounsfield_units(folder):
    image = nib.load(folder / "sub-000" / "ct.nii.gz")
    assert image.header.get_data_dtype() == np.int16
    assert np.asarray(image.dataobj).min() < -900


@pytest.mark.skipif("UAD_REAL_DATA" not in os.environ, reason="UAD_REAL_DATA is not set")
def test_contrast_is_that_of_the_real_head():
    from nilearn.datasets import load_mni152_gm_template, load_mni152_wm_template
    from nilearn.image import resample_to_img

    path = Path(os.environ["UAD_REAL_DATA"], "ct", "scct.nii")
    volume, affine = read_volume(path)
    hu = np.where(volume < 900, volume - 1000, np.where(volume <= 3100, (volume - 900) / 11 - 100, volume - 3000))
    like = nib.Nifti1Image(hu.transpose(2, 1, 0), affine)
    grey, white = (
        resample_to_img(load(resolution=2), like, force_resample=True, copy_header=True).get_fdata().transpose(2, 1, 0)
        for load in (load_mni152_gm_template, load_mni152_wm_template)
    )
    height = np.arange(hu.shape[0])[:, None, None] > hu.shape[0] // 2
    real = np.median(hu[(grey > 0.8) & height]) - np.median(hu[(white > 0.9) & height])
    assert GREY[0] - WHITE[1] < real < GREY[1] - WHITE[0]
