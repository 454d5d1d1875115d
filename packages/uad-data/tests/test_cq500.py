import pytest

from uad_data.cohort import Cohort
from uad_data.errors import InputError
from uad_data.layouts.cq500 import index

FINDINGS = ("ICH", "ChronicBleed", "Fracture", "MassEffect", "MidlineShift")


@pytest.fixture
def write_reads(write_text):
    """Write reads.csv: per case, the findings of each of the three readers."""

    def write(cases):
        lines = ["name,Category," + ",".join(f"R{k}:{finding}" for k in (1, 2, 3) for finding in FINDINGS)]
        for name, readers in cases.items():
            flags = [str(int(finding in seen)) for seen in readers for finding in FINDINGS]
            lines.append(",".join([name, "B1", *flags]))
        write_text("reads.csv", "\n".join(lines))

    return write


def test_majority_of_reads_and_choice_of_series(tmp_path, touch, write_series, write_reads):
    write_series("CQ500CT0 CQ500CT0/Unknown Study/CT Plain")
    for name in ("CT PLAIN THIN", "CT BONE", "CT POST CONTRAST"):
        touch(f"CQ500CT0 CQ500CT0/Unknown Study/{name}/CT000000.dcm")
    touch("CQ500CT12 CQ500CT12/Unknown Study/CT 0.625mm/CT000000.dcm")
    touch("CQ500CT12 CQ500CT12/Unknown Study/CT Thin Plain/CT000000.dcm")
    touch("CQ500CT3 CQ500CT3/Unknown Study/CT 4cc sec 150cc D3D on-2/CT000000.dcm")
    write_reads(
        {
            "CQ500-CT-0": [["ICH", "Fracture"], ["ICH"], ["Fracture"]],
            "CQ500-CT-3": [["ICH"], [], ["MassEffect"]],
            "CQ500-CT-12": [["MidlineShift"], ["MidlineShift"], []],
        }
    )
    table = index(tmp_path).set_index("subject")
    assert table["series"].to_dict() == {
        "CQ500-CT-0": "CT Plain",
        "CQ500-CT-12": "CT Thin Plain",
        "CQ500-CT-3": "CT 4cc sec 150cc D3D on-2",
    }
    assert table["pathology"].to_dict() == {
        "CQ500-CT-0": "haemorrhage",
        "CQ500-CT-12": "mass effect",
        "CQ500-CT-3": "healthy",
    }
    cohort = Cohort(table.reset_index(), tmp_path)
    assert cohort.load(0).image.shape == (1, 4, 8, 7)


def test_missing_reads(tmp_path, touch, write_reads):
    touch("CQ500CT0 CQ500CT0/Unknown Study/CT Plain/CT000000.dcm")
    with pytest.raises(InputError, match=r"expected reads\.csv with the columns name, R1:ICH"):
        index(tmp_path)
    write_reads({"CQ500-CT-1": [[], [], []]})
    with pytest.raises(InputError, match=r"CQ500-CT-0: expected its row in reads\.csv"):
        index(tmp_path)


def test_no_usable_series(tmp_path, touch):
    touch("CQ500CT0 CQ500CT0/Unknown Study/CT BONE/CT000000.dcm")
    with pytest.raises(InputError, match="CQ500CT0: expected a plain series, found CT BONE"):
        index(tmp_path)


def test_case_twice(tmp_path, touch):
    touch("CQ500CT0 CQ500CT0/a/CT Plain/1.dcm", "CQ500CT0/a/CT Plain/1.dcm")
    with pytest.raises(InputError, match="expected one file for image_ct of subject CQ500-CT-0"):
        index(tmp_path)
