import numpy as np
import pytest

from uad_data.cohort import Cohort
from uad_data.errors import InputError
from uad_data.layouts import LAYOUTS, index_layout


def test_every_layout_says_what_it_is():
    own = {"images_masks", "nifti_folder", "csv", "bids", "dicom"}
    lesions = {"brats", "kaggle_3m", "msseg_2016", "isbi_2015", "mslub", "wmh", "atlas_2", "fastmri_plus"}
    ct = {"cq500", "ct_ich"}
    healthy = {"ixi", "kirby_21", "ibc", "mood", "oasis_3", "adni"}
    assert set(LAYOUTS) == own | lesions | ct | healthy
    for name, layout in LAYOUTS.items():
        assert layout.name == name
        assert all((layout.description, layout.licence, layout.how_to_get, layout.healthy))


@pytest.mark.parametrize("name", LAYOUTS)
def test_empty_folder(tmp_path, name):
    with pytest.raises(InputError, match=rf"{tmp_path}: expected .*, found "):
        index_layout(name, tmp_path, tmp_path / "cohort.csv")
    assert list(tmp_path.iterdir()) == []


def test_missing_folder(tmp_path):
    with pytest.raises(InputError, match="nowhere: expected a folder with the data set, found none"):
        index_layout("brats", tmp_path / "nowhere", tmp_path / "cohort.csv")


def test_unknown_layout_names_the_nearest(tmp_path):
    expected = r"layout 'BRATS2021': expected one of .*brats, kaggle_3m, .*; nearest: brats"
    with pytest.raises(InputError, match=expected):
        index_layout("BRATS2021", tmp_path, tmp_path / "cohort.csv")


def test_table_is_split_and_written_relative_to_its_folder(tmp_path, write_picture):
    for k in range(20):
        write_picture(f"data/images/{k}.png")
        write_picture(f"data/masks/{k}.png", np.full((5, 6), 255 * (k % 2), np.uint8))
    first = index_layout("images_masks", tmp_path / "data", tmp_path / "data/cohort.csv", seed=1)
    assert first.table["split"].value_counts().to_dict() == {"train": 12, "test": 5, "val": 3}
    assert first.table["image_flair"].iloc[0] == "images/0.png"
    again = index_layout("images_masks", tmp_path / "data", tmp_path / "data/again.csv", seed=1)
    assert first.table.equals(again.table)
    other = index_layout("images_masks", tmp_path / "data", tmp_path / "far/c.csv", seed=2, fractions=(0.5, 0, 0.5))
    assert other.table["split"].value_counts().to_dict() == {"train": 10, "test": 10}
    assert Cohort.read(tmp_path / "far/c.csv").source(0, "image_flair") == str(tmp_path / "data/images/0.png")
