import errno
import itertools
import os

import nibabel as nib
import numpy as np
import pytest

from uad_data.errors import InputError
from uad_data.readers import read_affine, read_labels, read_volume, write_like

ORIENTATIONS = [
    "".join(code) for axes in itertools.permutations(("RL", "AP", "SI")) for code in itertools.product(*axes)
]
RAS = np.array([[0.9, 0.05, 0, -12.3], [-0.04, 1.1, 0.1, 7.7], [0, -0.1, 3.3, 41.0], [0, 0, 0, 1]])


def oriented(code, array, affine):
    """Store a RAS+ (i, j, k) array in another orientation."""
    target = nib.orientations.axcodes2ornt(code)
    turn = nib.orientations.ornt_transform(nib.orientations.axcodes2ornt("RAS"), target)
    return nib.apply_orientation(array, turn), affine @ nib.orientations.inv_ornt_aff(turn, array.shape)


def test_there_are_48_orientations():
    assert len(set(ORIENTATIONS)) == 48


@pytest.mark.parametrize("code", ORIENTATIONS)
def test_every_orientation_to_ras_and_back(tmp_path, write_nifti, code):
    ras = np.random.default_rng(1).random((3, 4, 5), np.float32)
    native, affine = oriented(code, ras, RAS)
    path = write_nifti("scan.nii.gz", native, affine)
    assert nib.aff2axcodes(nib.load(path).affine) == tuple(code)

    array, read = read_volume(path)
    np.testing.assert_array_equal(array, ras.transpose(2, 1, 0))
    np.testing.assert_allclose(read, RAS, atol=1e-5)
    np.testing.assert_array_equal(read_affine(path), read)

    out = tmp_path / "map.nii.gz"
    write_like(out, array, path)
    before, after = nib.load(path), nib.load(out)
    np.testing.assert_array_equal(np.asarray(after.dataobj), native)
    np.testing.assert_array_equal(after.affine, before.affine)
    for field in ("pixdim", "srow_x", "srow_y", "srow_z", "qform_code", "sform_code", "xyzt_units", "dim"):
        np.testing.assert_array_equal(after.header[field], before.header[field])


def test_header_that_would_hide_the_map_is_not_copied(tmp_path):
    image = nib.Nifti1Image(np.arange(24, dtype=np.int16).reshape(2, 3, 4), np.eye(4))
    image.header["cal_max"] = 1000
    image.header.set_slope_inter(0.5, 3)
    nib.save(image, tmp_path / "scan.nii")
    array, _ = read_volume(tmp_path / "scan.nii")
    assert array.max() == 14.5
    write_like(tmp_path / "map.nii.gz", array / 100, tmp_path / "scan.nii")
    written = nib.load(tmp_path / "map.nii.gz")
    assert written.header["cal_max"] == 0
    assert written.get_data_dtype() == np.float32
    np.testing.assert_array_equal(read_volume(tmp_path / "map.nii.gz")[0], array / 100)


def test_scale_factors_of_the_file_are_applied(tmp_path):
    image = nib.Nifti1Image(np.array([[[0.0, 0.1, 1000.0]]]), np.eye(4))
    image.set_data_dtype(np.int16)
    nib.save(image, tmp_path / "scan.nii")
    np.testing.assert_allclose(read_volume(tmp_path / "scan.nii")[0].ravel(), [0, 0.1, 1000], atol=0.02)


def test_mask_is_written_as_uint8(tmp_path, write_nifti, mask):
    path = write_nifti("scan.nii")
    write_like(tmp_path / "mask.nii.gz", mask.transpose(2, 1, 0) > 0, path)
    assert nib.load(tmp_path / "mask.nii.gz").get_data_dtype() == np.uint8
    np.testing.assert_array_equal(read_labels(tmp_path / "mask.nii.gz"), mask.transpose(2, 1, 0))


def test_fourth_axis_of_one_is_dropped(tmp_path, write_nifti):
    path = write_nifti("scan.nii.gz", shape=(3, 4, 5, 1))
    array, _ = read_volume(path)
    assert array.shape == (5, 4, 3)
    write_like(tmp_path / "map.nii.gz", array, path)
    assert nib.load(tmp_path / "map.nii.gz").shape == (3, 4, 5)


def test_4d_file(write_nifti):
    path = write_nifti("scan.nii.gz", shape=(3, 4, 5, 2))
    with pytest.raises(InputError, match=r"scan\.nii\.gz: expected three dimensions, found 4: shape \(3, 4, 5, 2\)"):
        read_volume(path)


@pytest.mark.parametrize("keep", [0, 10, 200, 0.5, 0.99])
@pytest.mark.parametrize("name", ["scan.nii.gz", "scan.nii"])
def test_truncated_file(write_nifti, name, keep):
    path = write_nifti(name, shape=(16, 16, 16))
    content = path.read_bytes()
    path.write_bytes(content[: keep if isinstance(keep, int) else int(keep * len(content))])
    for read in (read_volume, read_labels):
        with pytest.raises(InputError, match=rf"{name}: expected a whole NIfTI file, found one that cannot be read"):
            read(path)


def test_garbled_file(write_nifti):
    path = write_nifti("scan.nii.gz", shape=(16, 16, 16))
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 200] = bytes(200)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"scan\.nii\.gz: expected a whole NIfTI file"):
        read_volume(path)


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"scan\.nii: expected a NIfTI file, found none"):
        read_volume(tmp_path / "scan.nii")


def test_nan_in_volume(write_nifti):
    array = np.ones((2, 2, 2), np.float32)
    array[0, 0, 0] = np.nan
    with pytest.raises(InputError, match=r"scan\.nii: expected finite intensities"):
        read_volume(write_nifti("scan.nii", array))


def test_colour_volume(tmp_path):
    colour = np.zeros((2, 2, 2), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    nib.save(nib.Nifti1Image(colour, np.eye(4)), tmp_path / "scan.nii")
    with pytest.raises(InputError, match="expected one real number per voxel"):
        read_volume(tmp_path / "scan.nii")


def test_affine_without_volume(write_nifti):
    path = write_nifti("scan.nii")
    content = bytearray(path.read_bytes())
    content[296:312] = bytes(16)  # srow_y
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"scan\.nii: expected an affine with three axes"):
        read_volume(path)


def test_map_of_another_shape(tmp_path, write_nifti):
    path = write_nifti("scan.nii", shape=(3, 4, 5))
    with pytest.raises(InputError, match=r"map\.nii: expected the shape \(5, 4, 3\) of .*scan\.nii, found \(3, 4, 5\)"):
        write_like(tmp_path / "map.nii", np.zeros((3, 4, 5)), path)


def test_map_with_another_ending(tmp_path, write_nifti):
    with pytest.raises(InputError, match=r"map\.tif: expected a name ending in \.nii"):
        write_like(tmp_path / "map.tif", np.zeros((6, 5, 4)), write_nifti("scan.nii"))


def test_full_disk_leaves_no_map(tmp_path, write_nifti, monkeypatch):
    path = write_nifti("scan.nii")

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        write_like(tmp_path / "map.nii.gz", np.zeros((6, 5, 4)), path)
    assert list(tmp_path.iterdir()) == [path]
