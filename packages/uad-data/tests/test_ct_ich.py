import pytest

from uad_data.errors import InputError
from uad_data.layouts.ct_ich import index

NAME = "hemorrhage_diagnosis_raw_ct.csv"
TABLE = (
    "PatientNumber,SliceNumber,Intraventricular,No_Hemorrhage,Fracture_Yes_No\n"
    "49,1,0,1,0\n49,2,1,0,1\n50,1,0,1,0\n50,2,0,1,\n51,1,0,1,1\n"
)


@pytest.fixture
def scans(touch):
    touch(*(f"{kind}/{number}.nii" for kind in ("ct_scans", "masks") for number in ("049", "050", "051")))


def test_diagnoses(tmp_path, scans, write_text):
    write_text(NAME, TABLE)
    table = index(tmp_path)
    assert table["subject"].tolist() == ["049", "050", "051"]
    # A fracture is not healthy, though its mask is empty.
    assert table["pathology"].tolist() == ["haemorrhage", "healthy", "fracture"]
    assert table["image_ct"].iloc[0] == f"{tmp_path}/ct_scans/049.nii"
    assert table["lesion"].iloc[0] == f"{tmp_path}/masks/049.nii"


@pytest.mark.parametrize(("gone", "missing"), [("masks/050.nii", "lesion"), ("ct_scans/050.nii", "ct")])
def test_missing_partner(tmp_path, scans, write_text, gone, missing):
    write_text(NAME, TABLE)
    (tmp_path / gone).unlink()
    with pytest.raises(InputError, match=f"subject 050: expected a file for {missing}"):
        index(tmp_path)


def test_missing_diagnosis(tmp_path, scans, write_text):
    with pytest.raises(InputError, match=r"expected hemorrhage_diagnosis_raw_ct\.csv with the columns PatientNumber"):
        index(tmp_path)
    write_text(NAME, TABLE.replace("\n51,", "\n52,"))
    with pytest.raises(InputError, match=r"subject 051: expected rows in hemorrhage_diagnosis_raw_ct\.csv"):
        index(tmp_path)


def test_scan_twice(tmp_path, scans, touch):
    touch("copy/ct_scans/049.nii")
    with pytest.raises(InputError, match="expected one file for image_ct of subject 049"):
        index(tmp_path)
