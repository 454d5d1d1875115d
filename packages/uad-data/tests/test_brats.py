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


def write_meta_case(tmp_path, folder, kinds=("MR_T1", "MR_T1c", "MR_T2", "MR_Flair", "OT")):
    for number, kind in enumerate(kinds, start=54512):
        name = f"VSD.Brain_3more.XX.O.{kind}.{number}" if kind == "OT" else f"VSD.Brain.XX.O.{kind}.{number}"
        (tmp_path / folder / name).mkdir(parents=True)
        (tmp_path / folder / name / f"{name}.mha").touch()


def test_2015_metaimages(tmp_path):
    write_meta_case(tmp_path, "HGG/brats_2013_pat0001_1")
    write_meta_case(tmp_path, "LGG/brats_tcia_pat101_0001")
    table = index(tmp_path)
    assert table["subject"].tolist() == ["brats_2013_pat0001_1", "brats_tcia_pat101"]
    assert table["session"].tolist() == ["", "0001"]
    assert table["pathology"].tolist() == ["hgg", "lgg"]
    case = f"{tmp_path}/HGG/brats_2013_pat0001_1"
    assert table["image_t1ce"].iloc[0] == f"{case}/VSD.Brain.XX.O.MR_T1c.54513/VSD.Brain.XX.O.MR_T1c.54513.mha"
    assert table["lesion"].iloc[0].endswith("VSD.Brain_3more.XX.O.OT.54516.mha")


def test_2013_numbers_are_told_apart_by_grade(tmp_path):
    write_meta_case(tmp_path, "Image_Data/HG/0001")
    write_meta_case(tmp_path, "Image_Data/LG/0001")
    table = index(tmp_path)
    assert table["subject"].tolist() == ["HG-0001", "LG-0001"]
    assert table["pathology"].tolist() == ["hgg", "lgg"]


def test_2015_case_without_flair(tmp_path):
    write_meta_case(tmp_path, "HGG/brats_2013_pat0001_1", ("MR_T1", "MR_T1c", "MR_T2", "OT"))
    with pytest.raises(InputError, match="expected t1, t1ce, t2, flair and seg, found no flair"):
        index(tmp_path)


def test_2024_tasks(tmp_path, write_case):
    for visit in ("BraTS-GLI-02073-100", "BraTS-GLI-02073-101", "BraTS-PED-00001-000"):
        write_case(visit, NEW)
    table = index(tmp_path)
    assert table["subject"].tolist() == ["BraTS-GLI-02073", "BraTS-GLI-02073", "BraTS-PED-00001"]
    assert table["session"].tolist() == ["100", "101", "000"]
    assert table["pathology"].tolist() == ["glioma", "glioma", "paediatric tumour"]


def test_one_sequence_twice(tmp_path, write_case):
    write_case("BraTS2021_00000")
    (tmp_path / "BraTS2021_00000/BraTS2021_00000_t1.nii").touch()
    with pytest.raises(InputError, match="expected one file for t1 of its case, found also"):
        index(tmp_path)
