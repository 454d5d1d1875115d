import pytest

from uad_data.errors import InputError
from uad_data.layouts.ibc import index


def test_everyone_is_healthy(tmp_path, touch, write_text):
    touch("sub-01/ses-00/anat/sub-01_ses-00_T1w.nii.gz", "sub-04/ses-08/anat/sub-04_ses-08_acq-highres_T2w.nii.gz")
    write_text("participants.tsv", "participant_id\tage\nsub-01\t30\n")
    table = index(tmp_path)
    assert table["subject"].tolist() == ["sub-01", "sub-04"]
    assert table["session"].tolist() == ["00", "08"]
    assert table["pathology"].tolist() == ["healthy", "healthy"]


def test_no_structural_scan(tmp_path, touch):
    touch("sub-01/ses-00/func/sub-01_ses-00_task-rest_bold.nii.gz")
    with pytest.raises(InputError, match="expected scans such as sub-01/anat"):
        index(tmp_path)
