import pytest

from uad_data.errors import InputError
from uad_data.layouts.mood import index


def test_training_scans_are_healthy(tmp_path, touch):
    touch("brain_train/00000.nii.gz", "brain_train/00001.nii.gz", "toy/toy_0.nii.gz", "toy_label/pixel/00001.nii.gz")
    expected = {
        "subject": ["00000", "00001"],
        "session": ["", ""],
        "pathology": ["healthy", "healthy"],
        "image_mr": [f"{tmp_path}/brain_train/0000{k}.nii.gz" for k in (0, 1)],
    }
    assert index(tmp_path).to_dict("list") == expected
    assert index(tmp_path / "brain_train").to_dict("list") == expected


def test_only_toy_cases(tmp_path, touch):
    touch("toy/00000.nii.gz")
    with pytest.raises(InputError, match=r"expected scans such as brain_train/00000\.nii\.gz, found none"):
        index(tmp_path)


def test_twice(tmp_path, touch):
    touch("brain_train/00000.nii.gz", "brain_train/00000.nii")
    with pytest.raises(InputError, match="expected one file for image_mr of subject 00000"):
        index(tmp_path)
