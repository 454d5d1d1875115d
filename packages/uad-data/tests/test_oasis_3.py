import logging

import pytest

from uad_data.errors import InputError
from uad_data.layouts.oasis_3 import index

RATINGS = (
    "OASISID,OASIS_session_label,days_to_visit,CDRTOT\n"
    "OAS30001,OAS30001_UDSb4_d0000,0,0.0\nOAS30001,OAS30001_UDSb4_d2000,2000,0.5\nOAS30002,x,100,\n"
)
OLD = "ADRC_ADRCCLINICALDATA ID,Subject,Date,cdr\nOAS30001_ClinicalData_d0300,OAS30001,,1.0\n"


@pytest.fixture
def sessions(touch):
    for day in ("0129", "2430", "1000"):
        touch(f"OAS30001_MR_d{day}/anat2/sub-OAS30001_ses-d{day}_run-01_T1w.nii.gz")
        touch(f"OAS30001_MR_d{day}/anat3/sub-OAS30001_ses-d{day}_run-02_T1w.nii.gz")
    touch("OAS30001_MR_d0129/anat4/sub-OAS30001_sess-d0129_acq-TSE_T2w.nii.gz")
    touch("OAS30001_MR_d0129/swan1/sub-OAS30001_sess-d0129_T2star.nii.gz")


def test_nearest_rating_within_a_year(tmp_path, sessions, write_text, caplog):
    write_text("OASIS3_data_files/UDSb4/OASIS3_UDSb4_cdr.csv", RATINGS.replace("2000", "2100"))
    with caplog.at_level(logging.WARNING):
        table = index(tmp_path)
    found = dict(zip(table["session"], table["pathology"], strict=True))
    assert found == {"d0129": "healthy", "d1000": "unknown", "d2430": "impaired"}
    assert all("run-01" in path for path in table["image_t1"])
    assert "3 files repeat a sequence of their visit" in caplog.text
    assert (table["image_t2"] != "").sum() == 1


def test_older_table(tmp_path, sessions, write_text):
    write_text("clinical.csv", OLD)
    assert index(tmp_path).set_index("session")["pathology"]["d0129"] == "impaired"


def test_no_table(tmp_path, sessions, caplog):
    with caplog.at_level(logging.WARNING):
        assert set(index(tmp_path)["pathology"]) == {"unknown"}
    assert "no table of clinical dementia ratings" in caplog.text


def test_subject_that_the_table_lacks(tmp_path, sessions, write_text):
    write_text("cdr.csv", RATINGS.replace("OAS30001", "OAS30003"))
    with pytest.raises(InputError, match="subject OAS30001: expected a row in the table of clinical dementia ratings"):
        index(tmp_path)


def test_one_file_twice(tmp_path, sessions, touch):
    touch("copy/sub-OAS30001_ses-d0129_run-01_T1w.nii.gz")
    with pytest.raises(InputError, match="expected one file for image_t1 of subject OAS30001, session d0129"):
        index(tmp_path)
