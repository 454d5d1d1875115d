import numpy as np
import pytest

from uad_data.errors import InputError
from uad_data.layouts.bids import index

ANAT = "sub-01/ses-1/anat/sub-01_ses-1"


@pytest.fixture
def tree(touch):
    touch(f"{ANAT}_T1w.nii.gz", f"{ANAT}_ce-gadolinium_T1w.nii.gz", f"{ANAT}_run-01_FLAIR.nii.gz")
    touch(f"{ANAT}_run-02_FLAIR.nii.gz", "sub-01/ses-1/func/sub-01_ses-1_task-rest_bold.nii.gz")
    touch("sub-02/ct/sub-02_ct.nii.gz", "sub-03/anat/sub-03_T2w.nii.gz")
    touch("derivatives/fmriprep/sub-01/ses-1/anat/sub-01_ses-1_desc-preproc_T1w.nii.gz")
    touch("derivatives/fmriprep/sub-01/ses-1/anat/sub-01_ses-1_desc-brain_mask.nii.gz")
    touch("derivatives/fmriprep/sub-01/ses-1/anat/sub-01_ses-1_space-MNI152NLin2009cAsym_desc-brain_mask.nii.gz")
    touch("derivatives/fmriprep/sub-01/ses-1/anat/sub-01_ses-1_label-GM_mask.nii.gz")


def test_scans_and_masks(tmp_path, tree, touch, write_text):
    lesion = "derivatives/lesions/sub-01/ses-1/anat/sub-01_ses-1_label-lesion_mask.nii.gz"
    touch(lesion)
    write_text("participants.tsv", "participant_id\tage\tGroup\nsub-01\t3\tMS\nsub-02\t4\tControl\nsub-03\t5\tn/a\n")
    table = index(tmp_path).set_index("subject")
    assert table["session"].to_dict() == {"sub-01": "1", "sub-02": "", "sub-03": ""}
    assert table["pathology"].to_dict() == {"sub-01": "ms", "sub-02": "healthy", "sub-03": "unknown"}
    first = table.loc["sub-01"].to_dict()
    assert first["image_t1"] == f"{tmp_path}/{ANAT}_T1w.nii.gz"
    assert first["image_t1ce"] == f"{tmp_path}/{ANAT}_ce-gadolinium_T1w.nii.gz"
    assert first["image_flair"] == f"{tmp_path}/{ANAT}_run-01_FLAIR.nii.gz"
    assert first["brain"].endswith("/sub-01_ses-1_desc-brain_mask.nii.gz")
    assert first["lesion"] == str(tmp_path / lesion)
    assert table.loc["sub-02", "image_ct"]
    assert table.loc["sub-03", "image_t2"]


def test_pathology_from_masks(tmp_path, touch, write_nifti):
    touch("sub-01/anat/sub-01_T1w.nii.gz", "sub-02/anat/sub-02_T1w.nii.gz", "sub-03/anat/sub-03_T1w.nii.gz")
    write_nifti("derivatives/x/sub-01/anat/sub-01_mask.nii.gz", np.zeros((8, 8, 8), np.uint8))
    write_nifti("derivatives/x/sub-02/anat/sub-02_desc-T1lesion_label-L_mask.nii.gz", np.ones((8, 8, 8), np.uint8))
    found = index(tmp_path).set_index("subject")["pathology"].to_dict()
    assert found == {"sub-01": "healthy", "sub-02": "lesion", "sub-03": "unknown"}


def test_two_lesion_masks(tmp_path, tree, touch):
    for rater in ("a", "b"):
        touch(f"derivatives/{rater}/sub-01/ses-1/anat/sub-01_ses-1_label-lesion_mask.nii.gz")
    with pytest.raises(InputError, match="expected one file for lesion of subject sub-01, session 1"):
        index(tmp_path)


def test_mask_without_scan(tmp_path, tree, touch):
    touch("derivatives/x/sub-09/anat/sub-09_label-lesion_mask.nii.gz")
    with pytest.raises(
        InputError, match=r"sub-09_label-lesion_mask\.nii\.gz: expected a scan that this mask belongs to"
    ):
        index(tmp_path)


def test_participant_without_row(tmp_path, tree, write_text):
    write_text("participants.tsv", "participant_id\tgroup\nsub-01\tMS\n")
    with pytest.raises(InputError, match=r"participants\.tsv: expected a row for sub-02, found none"):
        index(tmp_path)


def test_broken_description(tmp_path, tree, write_text):
    write_text("dataset_description.json", "{")
    with pytest.raises(InputError, match="expected a BIDS tree, found one that cannot be read"):
        index(tmp_path)


def test_empty(tmp_path):
    with pytest.raises(InputError, match=r"expected scans such as sub-01/anat/sub-01_T1w\.nii\.gz, found none"):
        index(tmp_path)
