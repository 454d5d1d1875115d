import pytest

from uad_data.cohort import Cohort
from uad_data.errors import InputError
from uad_data.layouts import index_layout
from uad_data.layouts.csv_table import index


@pytest.fixture
def scans(touch):
    touch("scans/a.nii.gz", "scans/b.nii.gz", "scans/a_mask.nii.gz")


TABLE = (
    "Patient ID,Visit,Diagnosis,T1w,image_DWI,Mask,Age\n"
    "p1,1,Control,scans/a.nii.gz,,,30\np1,2,Stroke,scans/b.nii.gz,scans/a.nii.gz,scans/a_mask.nii.gz,31\n"
)


def test_columns_are_renamed_and_kept(tmp_path, scans, write_text):
    table = index(write_text("scans.csv", TABLE))
    assert table.to_dict("records") == [
        {
            "subject": "p1",
            "session": "1",
            "pathology": "healthy",
            "image_t1": f"{tmp_path}/scans/a.nii.gz",
            "image_dwi": "",
            "lesion": "",
            "Age": "30",
        },
        {
            "subject": "p1",
            "session": "2",
            "pathology": "stroke",
            "image_t1": f"{tmp_path}/scans/b.nii.gz",
            "image_dwi": f"{tmp_path}/scans/a.nii.gz",
            "lesion": f"{tmp_path}/scans/a_mask.nii.gz",
            "Age": "31",
        },
    ]
    assert index(tmp_path).equals(table)


def test_file_or_folder_through_index_layout(tmp_path, scans, write_text):
    path = write_text("scans.tsv", "id\tFLAIR\nx\tscans/a.nii.gz\n")
    cohort = index_layout("csv", path, tmp_path / "out/cohort.csv")
    assert isinstance(cohort, Cohort)
    assert cohort.table["pathology"].tolist() == ["unknown"]
    assert cohort.source(0, "image_flair") == f"{tmp_path}/scans/a.nii.gz"
    with pytest.raises(InputError, match=r"scans\.tsv: expected a folder with the data set"):
        index_layout("ixi", path, tmp_path / "c.csv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            TABLE.replace("Patient ID", "Who"),
            "expected rows with a column for the subject .* found 2 rows of Who, Visit",
        ),
        (TABLE.replace("T1w", "x").replace("image_DWI", "y"), "and one for an image"),
        (TABLE.splitlines()[0] + "\n", "found 0 rows of"),
        (TABLE.replace("Age", "Seg"), "expected one column for lesion, found 'Mask' and 'Seg'"),
        (TABLE.replace("p1,2", "p1,1"), "line 3: subject 'p1', session '1': expected one row, found a second"),
        (
            TABLE.replace("scans/b", "scans/c"),
            r"line 3, column image_t1: .*c\.nii\.gz: expected a NIfTI file, found none",
        ),
        (TABLE.replace("scans/b.nii.gz", "scans/b"), "line 3, column image_t1: .*expected a file ending in"),
    ],
)
def test_tables_that_cannot_be_used(scans, write_text, text, message):
    with pytest.raises(InputError, match=rf"scans\.csv: .*{message}"):
        index(write_text("scans.csv", text))


def test_several_tables(tmp_path, write_text):
    write_text("a.csv", TABLE)
    write_text("b.csv", TABLE)
    with pytest.raises(InputError, match=r"expected one table ending in \.csv or \.tsv, found a\.csv, b\.csv; name"):
        index(tmp_path)


def test_not_a_table(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"a\.csv: expected a table of comma- or tab-separated values"):
        index(tmp_path)
