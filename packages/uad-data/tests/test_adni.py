import logging

import pytest

from uad_data.cohort import Cohort
from uad_data.errors import InputError
from uad_data.layouts.adni import index

N3 = "MPR__GradWarp__B1_Correction__N3__Scaled"
TABLE = 'Image Data ID,Subject,Group,Visit\n"I13722","002_S_0295","CN","1"\nI200,003_S_0907,EMCI,1\n'


def test_nifti_tree_with_table(tmp_path, touch, write_text):
    touch(f"ADNI/002_S_0295/{N3}/2006-04-18_08_20_30.0/I13722/ADNI_002_S_0295_MR_{N3}_Br_2006_S13408_I13722.nii")
    touch("ADNI/003_S_0907/Axial_T2-FLAIR/2010-01-02_10_00_00.0/I200/ADNI_003_S_0907_MR_Axial_T2-FLAIR_I200.nii")
    touch("ADNI/003_S_0907/Axial_T2_Star/2010-01-02_10_00_00.0/I201/a_I201.nii")
    write_text("collection.csv", TABLE)
    assert index(tmp_path).drop(columns=["image_t1", "image_flair"]).to_dict("records") == [
        {"subject": "002_S_0295", "session": "2006-04-18", "pathology": "healthy"},
        {"subject": "003_S_0907", "session": "2010-01-02", "pathology": "emci"},
    ]
    assert (index(tmp_path)["image_flair"] != "").tolist() == [False, True]


def test_flat_nifti_and_no_table(tmp_path, touch, caplog):
    touch(f"ADNI_002_S_0295_MR_{N3}_Br_20070319_S13408_I45107.nii")
    with caplog.at_level(logging.WARNING):
        row = index(tmp_path).iloc[0]
    assert (row["subject"], row["session"], row["pathology"]) == ("002_S_0295", "I45107", "unknown")
    assert "no table with the columns Image Data ID" in caplog.text


def test_dicom_export(tmp_path, write_series, write_text):
    name = "ADNI/002_S_0295/Accelerated_Sagittal_MPRAGE/2016-04-18_08_20_30.0/I13722"
    write_series(name, modality="MR")
    write_text("collection.csv", TABLE)
    table = index(tmp_path)
    assert table["image_t1"].tolist() == [str(tmp_path / name)]
    assert Cohort(table, tmp_path).load(0).image.shape == (1, 4, 8, 7)


def test_image_that_the_table_lacks(tmp_path, touch, write_text):
    touch("005_S_0001/MPRAGE/2006-04-18_08_20_30.0/I1/a.nii")
    write_text("collection.csv", TABLE)
    with pytest.raises(InputError, match="image I1: expected its row, or one of subject 005_S_0001"):
        index(tmp_path)


def test_two_scans_of_one_day(tmp_path, touch):
    for series, image in (("MPR", "I1"), ("MPR-R", "I2")):
        touch(f"ADNI/002_S_0295/{series}/2006-04-18_08_20_30.0/{image}/a.nii")
    with pytest.raises(InputError, match="expected one file for image_t1 of subject 002_S_0295, session 2006-04-18"):
        index(tmp_path)
