import nibabel as nib
import numpy as np
import pytest

from uad_data.errors import InputError
from uad_data.readers import read_affine, read_labels, read_volume, source_files, write_like

h5py = pytest.importorskip("h5py")

ARRAY = np.random.default_rng(0).random((3, 8, 6), np.float32)
HEADER = """<?xml version="1.0"?><ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><encoding>
<encodedSpace><matrixSize><x>12</x><y>8</y><z>1</z></matrixSize></encodedSpace>
<reconSpace><matrixSize><x>6</x><y>8</y><z>1</z></matrixSize>
<fieldOfView_mm><x>3</x><y>6</y><z>5</z></fieldOfView_mm></reconSpace></encoding></ismrmrdHeader>"""
TABLE = (
    "file,slice,study_level,x,y,width,height,label\n"
    "vol,1,No,2,1,3,2,Mass\nvol,0,No,0,0,1,1,Normal variant\nvol,0,Yes,,,,,Normal for age\nother,2,No,0,0,5,5,Mass\n"
)


@pytest.fixture
def volume(tmp_path):
    with h5py.File(tmp_path / "vol.h5", "w") as file:
        file["reconstruction_rss"], file["ismrmrd_header"] = ARRAY, HEADER
    return tmp_path / "vol.h5"


def test_rows_run_forward_and_columns_to_the_left(volume):
    array, affine = read_volume(volume)
    np.testing.assert_array_equal(array, ARRAY[:, :, ::-1])
    np.testing.assert_allclose(np.diag(affine), (0.5, 0.75, 5, 1))
    np.testing.assert_array_equal(read_affine(volume), affine)


def test_boxes_count_from_the_last_stored_row(volume, write_text):
    table = write_text("brain.csv", TABLE)
    source = f"{table}#vol.h5"
    assert source_files(source) == [table, volume]
    shown = read_labels(source)[:, ::-1, ::-1]  # as the radiologist saw it: front on top, right on the left
    expected = np.zeros((3, 8, 6), np.uint8)
    expected[1, 1:3, 2:5] = 1
    np.testing.assert_array_equal(shown, expected)
    np.testing.assert_array_equal(read_affine(source), read_affine(volume))


def test_box_outside_the_volume(volume, write_text):
    table = write_text("brain.csv", TABLE.replace("vol,1", "vol,7"))
    with pytest.raises(InputError, match=r"brain\.csv: vol: expected slices 0 to 2, found 7"):
        read_labels(f"{table}#vol.h5")


def test_map_becomes_nifti(tmp_path, volume):
    array, _ = read_volume(volume)
    write_like(tmp_path / "map.nii.gz", array, volume)
    np.testing.assert_array_equal(read_volume(tmp_path / "map.nii.gz")[0], array)
    assert nib.load(tmp_path / "map.nii.gz").shape == (6, 8, 3)


def test_unusable_files(tmp_path, write_text):
    with pytest.raises(InputError, match=r"none\.h5: expected a file of fastMRI or fastMRI\+, found none"):
        source_files(tmp_path / "none.h5")
    with pytest.raises(InputError, match=r"a\.h5: expected an HDF5 file"):
        read_volume(write_text("a.h5", "text"))
    with h5py.File(tmp_path / "k.h5", "w") as file:
        file["kspace"] = ARRAY
    with pytest.raises(InputError, match=r"expected the images reconstruction_rss .*found kspace; the test volumes"):
        read_volume(tmp_path / "k.h5")


def test_without_h5py(volume, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(InputError, match=r"expected the package h5py.*pip install h5py"):
        read_volume(volume)
