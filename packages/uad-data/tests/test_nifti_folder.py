import logging

import numpy as np
import pytest

from uad_data.errors import InputError
from uad_data.layouts.nifti_folder import index


def columns(row):
    """Names of a row's columns and files."""
    return {column: path.rsplit("/", 1)[-1] for column, path in row.items() if "/" in path}


def test_folder_per_subject(tmp_path, write_nifti, mask):
    for name in ("FLAIR_N4_regtoFLAIR_brain", "T1_N4_brain", "T1POST_brain", "T2_brain"):
        write_nifti(f"p1/{name}.nii.gz")
    write_nifti("p1/GOLD_STANDARD_N4_regtoFLAIR.nii.gz", mask)
    write_nifti("p1/brain_mask.nii.gz", mask)
    write_nifti("p2/t1gd.nii")
    write_nifti("p2/Seg.nii", mask * 0)
    table = index(tmp_path)
    assert table[["subject", "pathology"]].to_numpy().tolist() == [["p1", "lesion"], ["p2", "healthy"]]
    assert columns(table.iloc[0]) == {
        "image_flair": "FLAIR_N4_regtoFLAIR_brain.nii.gz",
        "image_t1": "T1_N4_brain.nii.gz",
        "image_t1ce": "T1POST_brain.nii.gz",
        "image_t2": "T2_brain.nii.gz",
        "lesion": "GOLD_STANDARD_N4_regtoFLAIR.nii.gz",
        "brain": "brain_mask.nii.gz",
    }
    assert columns(table.iloc[1]) == {"image_t1ce": "t1gd.nii", "lesion": "Seg.nii"}


def test_flat_files(tmp_path, write_nifti, mask):
    for subject in ("IXI002-Guys-0828", "sub_1"):
        write_nifti(f"{subject}_T1.nii.gz")
        write_nifti(f"{subject}_t1_lesion_mask.nii.gz", mask)
        write_nifti(f"{subject}_brain_mask.nii.gz", mask)
    table = index(tmp_path)
    assert table["subject"].tolist() == ["IXI002-Guys-0828", "sub_1"]
    assert columns(table.iloc[1]) == {
        "image_t1": "sub_1_T1.nii.gz",
        "lesion": "sub_1_t1_lesion_mask.nii.gz",
        "brain": "sub_1_brain_mask.nii.gz",
    }


def test_visits_of_one_person_share_the_subject(tmp_path, write_nifti):
    write_nifti("sub-01_ses-1_T1w.nii.gz")
    write_nifti("sub-01_ses-2_T1w.nii.gz")
    assert index(tmp_path)[["subject", "session"]].to_numpy().tolist() == [["sub-01", "1"], ["sub-01", "2"]]


def test_without_masks_the_pathology_is_unknown(tmp_path, write_nifti):
    write_nifti("p1/ct.nii.gz")
    row = index(tmp_path).iloc[0]
    assert row["pathology"] == "unknown"
    assert row["image_ct"].endswith("p1/ct.nii.gz")


def test_other_files_are_named_in_a_warning(tmp_path, write_nifti, mask, caplog):
    write_nifti("p1/flair.nii.gz")
    write_nifti("p1/adc.nii.gz")
    write_nifti("template_brain.nii.gz", mask)
    with caplog.at_level(logging.WARNING):
        assert len(index(tmp_path)) == 1
    assert "2 files have no sequence in their names and are left out: " in caplog.text
    assert "p1/adc.nii.gz" in caplog.text
    assert "template_brain.nii.gz" in caplog.text


def test_only_other_files(tmp_path, write_nifti):
    write_nifti("p1/adc.nii.gz")
    with pytest.raises(InputError, match=r"expected files such as .*, found p1/adc\.nii\.gz; sequences known: flair"):
        index(tmp_path)


def test_two_files_for_one_place(tmp_path, write_nifti):
    write_nifti("p1/study1_FLAIR.nii.gz")
    write_nifti("p1/study2_FLAIR.nii.gz")
    expected = r"study2_FLAIR\.nii\.gz: expected one file for image_flair of subject p1, found also study1_FLAIR"
    with pytest.raises(InputError, match=expected):
        index(tmp_path)


def test_image_without_mask_where_others_have_one(tmp_path, write_nifti, mask):
    write_nifti("p1/flair.nii.gz")
    write_nifti("p1/mask.nii.gz", mask)
    write_nifti("p2/flair.nii.gz")
    with pytest.raises(InputError, match=r"expected a lesion mask for every subject or for none, found none for p2"):
        index(tmp_path)


def test_broken_mask_is_named(tmp_path, write_nifti):
    write_nifti("p1/flair.nii.gz")
    write_nifti("p1/mask.nii.gz", np.full((4, 5, 6), 0.3, np.float32))
    with pytest.raises(InputError, match=r"p1/mask\.nii\.gz: expected a mask of whole-numbered labels"):
        index(tmp_path)
