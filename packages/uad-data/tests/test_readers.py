import pytest

from uad_data.errors import InputError
from uad_data.readers import read_volume, source_files


def test_format_is_chosen_by_ending(write_nifti, write_picture):
    assert read_volume(write_nifti("a.NII.GZ".lower()))[0].shape == (6, 5, 4)
    assert read_volume(str(write_picture("a.png")))[0].shape == (1, 5, 6)


def test_unknown_ending(tmp_path):
    with pytest.raises(InputError, match=r"a\.dcm: expected a file ending in one of \.nii, \.nii\.gz, \.png"):
        source_files(tmp_path / "a.dcm")
