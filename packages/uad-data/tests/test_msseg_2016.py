import pytest

from uad_data.errors import InputError
from uad_data.layouts.msseg_2016 import index


@pytest.fixture
def write_case(touch):
    def write(name):
        touch(*(f"{name}/Preprocessed_Data/{kind}_preprocessed.nii.gz" for kind in ("FLAIR", "T1", "T2", "DP", "GADO")))
        touch(*(f"{name}/Masks/{mask}.nii.gz" for mask in ("Consensus", "ManualSegmentation_1")))
        touch(*(f"{name}/Raw_Data/{kind}.nii.gz" for kind in ("FLAIR", "T1")))

    return write


def test_consensus_and_preprocessed_sequences(tmp_path, write_case):
    # Training and test patients of one centre have the same numbers.
    for name in ("Training/Center_01/Patient_01", "Testing/Center_01/Patient_01"):
        write_case(name)
    table = index(tmp_path)
    assert table["subject"].tolist() == ["Testing-Center_01-Patient_01", "Training-Center_01-Patient_01"]
    case = f"{tmp_path}/Training/Center_01/Patient_01"
    row = table.iloc[1].to_dict()
    assert row["lesion"] == f"{case}/Masks/Consensus.nii.gz"
    assert {name for name in row if name.startswith("image_")} == {
        f"image_{s}" for s in ("flair", "t1", "t2", "pd", "t1ce")
    }
    assert row["image_t1ce"] == f"{case}/Preprocessed_Data/GADO_preprocessed.nii.gz"
    assert row["pathology"] == "ms"


def test_no_consensus(tmp_path, write_case):
    write_case("Center_01/Patient_01")
    (tmp_path / "Center_01/Patient_01/Masks/Consensus.nii.gz").unlink()
    with pytest.raises(InputError, match="subject Center_01-Patient_01: expected a file for lesion, found only"):
        index(tmp_path)


def test_file_twice(tmp_path, write_case, touch):
    write_case("Center_01/Patient_01")
    touch("Center_01/Patient_01/Masks/Consensus.nii")
    with pytest.raises(InputError, match="expected one file for lesion"):
        index(tmp_path)
