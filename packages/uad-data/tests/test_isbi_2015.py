import pytest

from uad_data.errors import InputError
from uad_data.layouts.isbi_2015 import index


@pytest.fixture
def visits(touch):
    for visit in ("training01_01", "training01_02"):
        folder = visit.split("_")[0]
        touch(*(f"{folder}/preprocessed/{visit}_{kind}_pp.nii" for kind in ("flair", "mprage", "pd", "t2")))
        touch(*(f"{folder}/masks/{visit}_mask{k}.nii" for k in (1, 2)), f"{folder}/orig/{visit}_flair.nii.gz")


def test_visits_and_raters(tmp_path, visits):
    table = index(tmp_path)
    assert table["subject"].tolist() == ["training01", "training01"]
    assert table["session"].tolist() == ["01", "02"]
    row = table.iloc[1].to_dict()
    assert row["image_t1"] == f"{tmp_path}/training01/preprocessed/training01_02_mprage_pp.nii"
    assert row["lesion"].endswith("training01_02_mask1.nii")
    assert row["lesion_rater_2"].endswith("training01_02_mask2.nii")
    assert row["pathology"] == "ms"


def test_test_cases_have_no_mask(tmp_path, touch):
    touch(*(f"test01/test01_01_{kind}_pp.nii" for kind in ("flair", "mprage", "pd", "t2")))
    assert "lesion" not in index(tmp_path)


@pytest.mark.parametrize(("name", "missing"), [("masks/training01_02_mask2", "lesion_rater_2"),
                                               ("preprocessed/training01_01_t2_pp", "t2")])  # fmt: skip
def test_missing_partner(tmp_path, visits, name, missing):
    (tmp_path / f"training01/{name}.nii").unlink()
    with pytest.raises(InputError, match=rf"subject training01, session 0\d: expected a file for {missing}"):
        index(tmp_path)


def test_visit_twice(tmp_path, visits, touch):
    touch("copy/training01_01_flair_pp.nii")
    with pytest.raises(InputError, match="expected one file for image_flair of subject training01, session 01"):
        index(tmp_path)
