import pytest

from uad_data.errors import InputError
from uad_data.layouts.mslub import index

MNI = "N4_noneck_reduced_winsor_regtoFLAIR_brain_N4_regtoMNI.nii.gz"


def test_coregistered(tmp_path, touch):
    for name in ("FLAIR", "T1W", "T1WKS", "T2W", "consensus_gt", "brainmask"):
        touch(f"patient01/patient01_{name}.nii.gz", f"patient02/{name}.nii.gz")
    touch("patient01/raw/patient01_FLAIR.nii.gz", "raw/patient01/patient01_FLAIR.nii.gz", "patient01/T1W_to_FLAIR.txt")
    table = index(tmp_path)
    assert table["subject"].tolist() == ["patient01", "patient02"]
    assert table["image_t1ce"].iloc[0] == f"{tmp_path}/patient01/patient01_T1WKS.nii.gz"
    assert table["lesion"].iloc[1] == f"{tmp_path}/patient02/consensus_gt.nii.gz"
    assert table["brain"].iloc[1] == f"{tmp_path}/patient02/brainmask.nii.gz"
    assert set(table["pathology"]) == {"ms"}


def test_mni(tmp_path, touch):
    touch(*(f"patient07/{name}_{MNI}" for name in ("FLAIR", "T1", "T1POST", "T2")))
    touch("patient07/GOLD_STANDARD_N4_noneck_reduced_winsor_regtoFLAIR_regtoMNI.nii.gz")
    row = index(tmp_path).iloc[0].to_dict()
    assert row["image_t1ce"] == f"{tmp_path}/patient07/T1POST_{MNI}"
    assert row["lesion"].endswith("regtoFLAIR_regtoMNI.nii.gz")
    assert {name for name in row if "image" in name} == {"image_flair", "image_t1", "image_t1ce", "image_t2"}


def test_no_consensus(tmp_path, touch):
    touch("patient01/patient01_FLAIR.nii.gz")
    with pytest.raises(InputError, match="subject patient01: expected a file for lesion, found only patient01_FLAIR"):
        index(tmp_path)


def test_both_spaces(tmp_path, touch):
    touch("coregistered/patient01/FLAIR.nii.gz", f"MNI/patient01/FLAIR_{MNI}")
    with pytest.raises(InputError, match="expected one file for image_flair of subject patient01"):
        index(tmp_path)
