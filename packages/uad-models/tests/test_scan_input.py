import json

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from uad_data.cohort import Cohort
from uad_data.errors import InputError
from uad_models.clinical.scan_input import Files, check_cohort, open_scan
from uad_models.run_folder import RunConfig

RECIPE = {"name": "own", "steps": [{"step": "reorient"}, {"step": "register", "template": "mni152"}], "arrays": {}}
OTHER = {"name": "own", "steps": [{"step": "reorient"}], "arrays": {}}


def config(recipe=None, scaling="percentile:99"):
    arrays = {"size": [16, 16], "scaling": scaling}
    return RunConfig("ae", {}, {}, arrays, "digest", {}, "quick", 0, recipe=recipe)


@pytest.fixture
def files(tmp_path):
    """A scan of an ellipsoid, 0 to 2, with nothing beside it."""
    i, j, k = np.meshgrid(*[np.linspace(-1, 1, side) for side in (28, 24, 20)], indexing="ij")
    volume = ((i**2 + j**2 + k**2 < 0.8) * (1.5 + 0.5 * np.sin(4 * i))).astype(np.float32)
    nib.save(nib.Nifti1Image(volume, np.diag((-5.0, 5.0, 5.0, 1.0))), tmp_path / "flair.nii.gz")
    return Files(images={"flair": str(tmp_path / "flair.nii.gz")}, subject="s")


def leave_record(folder, *, recipe=RECIPE, source="/elsewhere/raw.nii.gz", **more):
    (folder / "prepare.json").write_text(json.dumps({"recipe": recipe, "sources": {"flair": {"path": source}}} | more))


def test_a_scan_that_needs_nothing_stays_on_its_grid(files):
    opened = open_scan(files, config())
    assert opened.prepared == "no"
    assert opened.template is None
    assert np.array_equal(opened.way_back.to_native(opened.native), opened.scan.image[0])
    assert opened.quality["brain_ml"] == pytest.approx(opened.scan.brain.sum() * 0.125)
    assert (opened.scan.subject, opened.scan.modalities) == ("s", ("flair",))


def test_what_the_preparation_left_is_used(files, tmp_path):
    leave_record(tmp_path, template="mni152", quality={"brain_ml": 7.0})
    mask = np.zeros((28, 24, 20), np.uint8)
    mask[10:14, 10:14, 8:12] = 1
    nib.save(nib.Nifti1Image(mask, np.diag((-5.0, 5.0, 5.0, 1.0))), tmp_path / "brain.nii.gz")
    opened = open_scan(files, config(RECIPE, "none"))
    assert (opened.prepared, opened.template, opened.quality) == ("before", "mni152", {"brain_ml": 7.0})
    assert opened.scan.brain.sum() == 64


def test_a_given_mask_goes_before_the_one_beside(files, tmp_path):
    leave_record(tmp_path)
    for name, size in (("brain", 4), ("mine", 8)):
        mask = np.zeros((28, 24, 20), np.uint8)
        mask[:size] = 1
        nib.save(nib.Nifti1Image(mask, np.diag((-5.0, 5.0, 5.0, 1.0))), tmp_path / f"{name}.nii.gz")
    own = Files(images=files.images, brain=str(tmp_path / "mine.nii.gz"), subject="s")
    assert open_scan(own, config(RECIPE, "none")).scan.brain.sum() == 8 * 24 * 20


def test_a_prepared_scan_without_a_record_has_the_recipes_template(files):
    opened = open_scan(files, config(RECIPE, "none"), prepared=True)
    assert (opened.prepared, opened.template) == ("before", "mni152")


@pytest.mark.parametrize("recipe", [None, OTHER])
def test_a_scan_prepared_otherwise_is_refused(files, tmp_path, recipe):
    leave_record(tmp_path)
    with pytest.raises(InputError, match=r"found one prepared by recipe 'own' \(reorient, register\); give the raw"):
        open_scan(files, config(recipe))


def test_a_raw_scan_beside_its_own_record_is_raw(files, tmp_path):
    leave_record(tmp_path, source=files.first)
    assert open_scan(files, config()).prepared == "no"


def test_raw_intensities_are_not_taken_for_prepared_ones(files, tmp_path):
    image = nib.load(files.first)
    nib.save(nib.Nifti1Image(image.get_fdata() * 400, image.affine), files.first)
    with pytest.raises(InputError, match=r"found values up to .*leave out --prepared"):
        open_scan(files, config(RECIPE, "none"), prepared=True)


def test_prepared_without_a_recipe_is_refused(files):
    with pytest.raises(InputError, match="trained on scans as they were"):
        open_scan(files, config(), prepared=True)


def test_a_cohort_says_what_it_went_through(files, tmp_path):
    table = pd.DataFrame([{"subject": "s", "pathology": "", "image_flair": files.first}])
    cohort = Cohort(table, tmp_path)
    assert not check_cohort(cohort, config(RECIPE))
    (tmp_path / "recipe.json").write_text(json.dumps(RECIPE))
    assert check_cohort(cohort, config(RECIPE | {"name": "renamed", "arrays": {"size": [8, 8]}}))
    for other in (OTHER, None):
        with pytest.raises(InputError, match=r"found recipe 'own' \(reorient, register\)"):
            check_cohort(cohort, config(other))


def test_pictures_are_known_by_their_name():
    assert Files(images={"flair": "a.tif#1"}, subject="s").is_picture
    assert not Files(images={"flair": "A.NII.GZ"}, subject="s").is_picture
