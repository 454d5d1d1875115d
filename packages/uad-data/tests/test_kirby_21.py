import pytest

from uad_data.errors import InputError
from uad_data.layouts.kirby_21 import index

TABLE = "MPRAGE,Subject ID,Visit ID,Age\nKKI2009-01-MPRAGE,814,1,25\nKKI2009_02_MPRAGE,849,1,30\nKKI2009-25,814,2,25\n"


@pytest.fixture
def visits(touch):
    touch(*(f"KKI2009-{k}-MPRAGE.nii" for k in ("01", "02", "25")), "KKI2009-01-FLAIR.nii", "KKI2009-01-DTI.nii")


def test_both_visits_have_one_subject(tmp_path, visits, write_text):
    write_text("visits.csv", TABLE)
    table = index(tmp_path)
    assert list(zip(table["subject"], table["session"], strict=True)) == [
        ("KKI2009-814", "1"),
        ("KKI2009-849", "1"),
        ("KKI2009-814", "2"),
    ]
    assert set(table["pathology"]) == {"healthy"}
    assert (table["image_flair"] != "").tolist() == [True, False, False]


def test_without_table(tmp_path, visits):
    with pytest.raises(InputError, match=r"expected a \.csv table with the columns MPRAGE, Subject ID, Visit ID"):
        index(tmp_path)


def test_visit_that_the_table_lacks(tmp_path, visits, write_text):
    write_text("visits.csv", TABLE.replace("KKI2009-25", "KKI2009-26"))
    with pytest.raises(InputError, match=r"KKI2009-25-MPRAGE\.nii: expected its visit in the table"):
        index(tmp_path)


def test_visit_twice(tmp_path, visits, write_text):
    write_text("visits.csv", TABLE.replace("814,2", "814,1"))
    with pytest.raises(InputError, match="expected one file for image_t1 of subject KKI2009-814, session 1"):
        index(tmp_path)
