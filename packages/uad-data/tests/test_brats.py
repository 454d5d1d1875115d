import pytest

from uad_data.errors import InputError
from uad_data.layouts.brats import index

OLD = ("_t1", "_t1ce", "_t2", "_flair", "_seg")
NEW = ("-t1n", "-t1c", "-t2w", "-t2f", "-seg")


@pytest.fixture
def write_case(tmp_path):
    """Make the empty files of a case."""

    def write(folder, endings=OLD, suffix=".nii.gz"):
        (tmp_path / folder).mkdir(parents=True)
        for ending in endings:
            (tmp_path / folder / f"{folder.split('/')[-1]}{ending}{suffix}").touch()

    return write


def test_2018_and_2019_grades(tmp_path, write_case):
    write_case("HGG/Brats18_2013_2_1")
    write_case("LGG/BraTS19_TCIA10_103_1", suffix=".nii")
    table = index(tmp_path)
    assert table["subject"].tolist() == ["Brats18_2013_2_1", "BraTS19_TCIA10_103_1"]
    assert table["pathology"].tolist() == ["hgg", "lgg"]
    assert index(tmp_path / "LGG")["pathology"].tolist() == ["lgg"]


def test_2021_sequences(tmp_path, write_case):
    write_case("BraTS2021_00000")
    row = index(tmp_path).iloc[0].to_dict()
    case = tmp_path / "BraTS2021_00000"
    assert row == {
        "subject": "BraTS2021_00000",
        "session": "",
        "pathology": "glioma",
        "image_t1": f"{case}/BraTS2021_00000_t1.nii.gz",
        "image_t1ce": f"{case}/BraTS2021_00000_t1ce.nii.gz",
        "image_t2": f"{case}/BraTS2021_00000_t2.nii.gz",
        "image_flair": f"{case}/BraTS2021_00000_flair.nii.gz",
        "lesion": f"{case}/BraTS2021_00000_seg.nii.gz",
    }


def test_2023_sequences_and_visits(tmp_path, write_case):
    for visit in ("BraTS-GLI-00005-000", "BraTS-GLI-00005-001", "BraTS-MEN-00004-000"):
        write_case(visit, NEW)
    table = index(tmp_path)
    assert table["subject"].tolist() == ["BraTS-GLI-00005", "BraTS-GLI-00005", "BraTS-MEN-00004"]
    assert table["session"].tolist() == ["000", "001", "000"]
    assert table["pathology"].tolist() == ["glioma", "glioma", "meningioma"]
    endings = {column: table[column].iloc[0].removesuffix(".nii.gz")[-4:] for column in table if "image" in column}
    assert endings == {"image_t1": "-t1n", "image_t1ce": "-t1c", "image_t2": "-t2w", "image_flair": "-t2f"}


def test_case_without_mask(tmp_path, write_case):
    write_case("BraTS2021_00000", OLD[:-1])
    with pytest.raises(InputError, match=r"BraTS2021_00000: expected t1, t1ce, t2, flair and seg, found no seg"):
        index(tmp_path)


def test_case_without_sequences(tmp_path, write_case):
    write_case("BraTS2021_00000", ("_t1", "_t1ce", "_seg"))
    with pytest.raises(InputError, match="found no t2 and no flair"):
        index(tmp_path)
