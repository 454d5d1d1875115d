import logging

import numpy as np
import pytest

from uad_data.cohort import Cohort
from uad_data.errors import InputError
from uad_data.layouts import index_layout
from uad_data.layouts.dicom_series import index


def test_sequences_of_one_study_share_a_row(tmp_path, write_series, caplog):
    names = {
        "3D T1 MPRAGE": "t1",
        "t1_se_tra +C": "t1ce",
        "AX T2 TSE": "t2",
        "Ax T2 FLAIR": "flair",
        "PD tra": "pd",
    }
    for k, name in enumerate([*names, "localizer", "DWI b1000", "ax t2* GRE"]):
        write_series(f"export/{k:04d}", uid=f"1.2.{k}", description=name, modality="MR")
    with caplog.at_level(logging.WARNING):
        (row,) = index(tmp_path).to_dict("records")
    assert (row["subject"], row["session"], row["pathology"]) == ("P1", "20200102", "unknown")
    assert {row[f"description_{short}"]: short for short in names.values()} == names
    assert row["image_flair"] == f"{tmp_path}/export/0003"
    assert "DWI b1000, ax t2* GRE, localizer" in caplog.text


def test_repeated_series_get_rows_of_their_own(tmp_path, write_series):
    write_series("a", uid="1.2.1", description="CT Plain 5 mm", number="2")
    write_series("b", uid="1.2.2", description="CT Plain 1 mm", number="4")
    write_series("a", uid="1.2.3", description="bone", number="5", suffix=".bone")
    table = index(tmp_path)
    assert sorted(table["session"]) == ["20200102-series2", "20200102-series4", "20200102-series5"]
    assert set(table["subject"]) == {"P1"}
    assert sorted(table["image_ct"]) == [f"{tmp_path}/a#1.2.1", f"{tmp_path}/a#1.2.3", f"{tmp_path}/b"]


def test_two_studies_on_one_day(tmp_path, write_series):
    write_series("a", uid="1.2.1", study="1.5")
    write_series("b", uid="1.2.2", study="1.4")
    assert index(tmp_path)["session"].tolist() == ["20200102-study2", "20200102-study1"]


def test_cohort_reads_and_finds_its_folders_again(tmp_path, write_series):
    stored = np.random.default_rng(0).integers(0, 900, (4, 8, 7))
    write_series("data/a", stored, uid="1.2.1")
    write_series("data/a", stored + 5, uid="1.2.2", number="4", suffix=".x")
    cohort = index_layout("dicom", tmp_path / "data", tmp_path / "data/cohort.csv")
    assert cohort.table["image_ct"].tolist() == ["a#1.2.1", "a#1.2.2"]
    np.testing.assert_array_equal(cohort.load(1).image[0], stored[:, ::-1, ::-1] + 5)
    assert cohort.digest(("ct",)) == Cohort.read(tmp_path / "data/cohort.csv").digest(("ct",))


def test_series_in_two_folders(tmp_path, write_series):
    write_series("a")
    write_series("b")
    with pytest.raises(
        InputError, match=r"b: expected every series in one folder, found series 'CT Plain' also in .*a"
    ):
        index(tmp_path)


def test_nothing_that_can_be_used(tmp_path, write_series):
    write_series("a", description="DWI", modality="MR")
    with pytest.raises(InputError, match=r"expected DICOM series of CT, or of T1, .* found DWI; list them in a table"):
        index(tmp_path)
