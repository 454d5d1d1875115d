import numpy as np
import pytest

from uad_data.errors import InputError
from uad_data.layouts.wmh import index
from uad_data.readers import read_labels


@pytest.fixture
def write_case(write_nifti):
    def write(name):
        labels = np.zeros((8, 8, 8), np.uint8)
        labels[2:4, 3, 3], labels[5, 5, 5] = 1, 2
        for part in ("pre/FLAIR", "pre/T1", "orig/FLAIR", "orig/3DT1"):
            write_nifti(f"{name}/{part}.nii.gz", shape=(8, 8, 8))
        write_nifti(f"{name}/wmh.nii.gz", labels)

    return write


def test_preprocessed_scans_of_every_hospital(tmp_path, write_case):
    for name in ("training/Utrecht/0", "training/Singapore/50", "training/Amsterdam/GE3T/100"):
        write_case(name)
    table = index(tmp_path / "training")
    assert table["subject"].tolist() == ["Amsterdam-GE3T-100", "Singapore-50", "Utrecht-0"]
    assert set(table["pathology"]) == {"wmh"}
    assert table["image_t1"].iloc[2] == f"{tmp_path}/training/Utrecht/0/pre/T1.nii.gz"


def test_label_2_stays(tmp_path, write_case):
    write_case("Utrecht/0")
    assert np.unique(read_labels(index(tmp_path)["lesion"].iloc[0])).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("name", "message"),
    [("wmh", "expected a file for lesion"), ("pre/T1", "expected a file for t1"), ("pre/FLAIR", "for flair")],
)
def test_missing_partner(tmp_path, write_case, name, message):
    write_case("Utrecht/0")
    (tmp_path / f"Utrecht/0/{name}.nii.gz").unlink()
    with pytest.raises(InputError, match=rf"subject Utrecht-0: .*{message}"):
        index(tmp_path)


def test_file_twice(tmp_path, write_case, touch):
    write_case("Utrecht/0")
    touch("Utrecht/0/wmh.nii")
    with pytest.raises(InputError, match="expected one file for lesion of subject Utrecht-0"):
        index(tmp_path)
