"""Arrays of scans that lie on one grid already: the whole grid fills the frame."""

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from uad_data.arrays import ArraySpec, build_arrays, prepare_scan
from uad_data.cohort import Cohort
from uad_data.errors import InputError


@pytest.fixture
def cohort(tmp_path) -> Cohort:
    volume = np.zeros((24, 24, 6), np.float32)
    volume[4:10, 6:20, 1:5] = np.random.default_rng(0).uniform(0.2, 1, (6, 14, 4))
    nib.save(nib.Nifti1Image(volume, np.eye(4)), tmp_path / "t1.nii.gz")
    nib.save(nib.Nifti1Image((volume > 0).astype(np.uint8), np.eye(4)), tmp_path / "brain.nii.gz")
    row = {"subject": "a", "pathology": "healthy", "split": "train", "image_t1": "t1.nii.gz", "brain": "brain.nii.gz"}
    return Cohort(pd.DataFrame([row]), tmp_path)


def spec(**changes) -> ArraySpec:
    return ArraySpec(size=(24, 24), modalities=("t1",), slices="pixels:1", scaling="none", dtype="float32", **changes)


def test_a_whole_grid_is_copied_where_the_size_is_its_own(cohort) -> None:
    scan = cohort.load(0)
    items = prepare_scan(scan, spec(framing="grid"))
    assert np.array_equal(items.image[:, 0], scan.image[0][items.slice_index])
    fitted = prepare_scan(scan, spec(framing="brain"))
    assert np.count_nonzero(fitted.brain) > 1.5 * np.count_nonzero(items.brain)
    with pytest.raises(InputError, match="expected brain or grid; found 'head'"):
        spec(framing="head")


def test_the_recipe_travels_with_the_arrays_and_makes_them_others(cohort, tmp_path) -> None:
    plain = build_arrays(cohort, spec(), cache=tmp_path / "cache", progress=False)
    assert plain.recipe is None
    (tmp_path / "recipe.json").write_text('{"name": "t", "steps": [], "arrays": {}}')
    prepared = build_arrays(cohort, spec(), cache=tmp_path / "cache", progress=False)
    assert prepared.recipe["name"] == "t"
    assert prepared.digest != plain.digest
    (tmp_path / "recipe.json").write_text("{")
    with pytest.raises(InputError, match=r"recipe\.json: expected JSON"):
        _ = cohort.recipe
