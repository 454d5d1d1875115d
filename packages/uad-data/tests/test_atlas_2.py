import pytest

from uad_data.errors import InputError
from uad_data.layouts.atlas_2 import index

SPACE = "space-MNI152NLin2009aSym"


@pytest.fixture
def write_scan(touch):
    def write(subject, *, session="1", part="Training", mask=True):
        stem = f"{part}/{subject[:4].upper()}/sub-{subject}/ses-{session}/anat/sub-{subject}_ses-{session}_{SPACE}"
        touch(f"{stem}_T1w.nii.gz", *([f"{stem}_label-L_desc-T1lesion_mask.nii.gz"] if mask else []))

    return write


def test_scans_and_masks(tmp_path, write_scan):
    write_scan("r001s001")
    write_scan("r027s003", session="2")
    table = index(tmp_path)
    assert table["subject"].tolist() == ["r001s001", "r027s003"]
    assert table["session"].tolist() == ["1", "2"]
    assert set(table["pathology"]) == {"stroke"}
    assert table["image_t1"].iloc[0].endswith(f"sub-r001s001_ses-1_{SPACE}_T1w.nii.gz")
    assert table["lesion"].iloc[1].endswith(f"sub-r027s003_ses-2_{SPACE}_label-L_desc-T1lesion_mask.nii.gz")


def test_hidden_masks(tmp_path, write_scan):
    write_scan("r001s001", part="Testing", mask=False)
    write_scan("r002s001")
    assert (index(tmp_path)["lesion"] != "").tolist() == [False, True]


def test_missing_mask(tmp_path, write_scan):
    write_scan("r001s001", mask=False)
    with pytest.raises(InputError, match="subject r001s001, session 1: expected a file for lesion"):
        index(tmp_path)


def test_mask_without_scan(tmp_path, touch):
    touch(f"sub-r001s001_ses-1_{SPACE}_label-L_desc-T1lesion_mask.nii.gz")
    with pytest.raises(InputError, match="subject r001s001, session 1: expected a file for t1"):
        index(tmp_path)


def test_twice(tmp_path, write_scan):
    write_scan("r001s001")
    write_scan("r001s001", part="Copy")
    with pytest.raises(InputError, match="expected one file for image_t1 of subject r001s001, session 1"):
        index(tmp_path)
