import pytest

from uad_data.errors import InputError
from uad_data.layouts.ixi import index


def test_one_row_per_person(tmp_path, touch):
    for kind in ("T1", "T2", "PD", "MRA"):
        touch(f"IXI-{kind}/IXI002-Guys-0828-{kind}.nii.gz")
    touch("IXI-T1/IXI012-HH-1211-T1.nii.gz", "IXI-T1/._IXI012-HH-1211-T1.nii.gz")
    table = index(tmp_path)
    assert table["subject"].tolist() == ["IXI002", "IXI012"]
    assert table["pathology"].tolist() == ["healthy", "healthy"]
    assert table["image_t2"].tolist() == [f"{tmp_path}/IXI-T2/IXI002-Guys-0828-T2.nii.gz", ""]
    assert set(table) == {"subject", "session", "pathology", "image_t1", "image_t2", "image_pd"}


def test_brain_labels(tmp_path, touch):
    touch("t1/IXI260-HH-1805_T1.nii.gz", "dlmuse/IXI260-HH-1805_T1_DLMUSE.nii.gz")
    assert index(tmp_path)["brain"].tolist() == [f"{tmp_path}/dlmuse/IXI260-HH-1805_T1_DLMUSE.nii.gz"]
    touch("dlmuse/IXI261-HH-1806_T1_DLMUSE.nii.gz")
    with pytest.raises(InputError, match=r"subject IXI261: expected a file for t1, found only IXI261"):
        index(tmp_path)


def test_twice(tmp_path, touch):
    touch("a/IXI002-Guys-0828-T1.nii.gz", "b/IXI002-Guys-0828-T1.nii.gz")
    with pytest.raises(InputError, match=r"b/IXI002.*: expected one file for image_t1 of subject IXI002, found also"):
        index(tmp_path)


def test_empty(tmp_path):
    with pytest.raises(InputError, match="expected files such as IXI-T1/IXI002-Guys-0828-T1"):
        index(tmp_path)
