import nibabel as nib
import numpy as np
import pytest

from uad_data.errors import InputError
from uad_data.readers import read_affine, read_labels, read_volume, source_files, write_like

itk = pytest.importorskip("SimpleITK")

ARRAY = np.random.default_rng(0).integers(0, 900, (4, 5, 6)).astype(np.int16)


@pytest.fixture
def write_mha(tmp_path):
    """Write a MetaImage with rows to the back and columns to the left, unless told."""

    def write(name, array=ARRAY, direction=(1, 0, 0, 0, 1, 0, 0, 0, 1)):
        image = itk.GetImageFromArray(array)
        image.SetSpacing((1, 2, 3))
        image.SetOrigin((10, 20, 30))
        image.SetDirection(direction)
        itk.WriteImage(image, str(tmp_path / name), True)
        return tmp_path / name

    return write


def test_read_turns_to_ras(write_mha):
    array, affine = read_volume(write_mha("a.mha"))
    np.testing.assert_array_equal(array, ARRAY[:, ::-1, ::-1])
    # ITK's origin (left 10, back 20) lies at the last voxel along w and h.
    np.testing.assert_allclose(affine @ (5, 4, 0, 1), (-10, -20, 30, 1))
    np.testing.assert_allclose(np.diag(affine), (1, 2, 3, 1))
    np.testing.assert_array_equal(read_affine(write_mha("a.mha")), affine)


def test_same_as_the_nifti_file_that_itk_writes(tmp_path, write_mha):
    path = write_mha("a.mha", direction=(0, 0, 1, -1, 0, 0, 0, -1, 0))
    itk.WriteImage(itk.ReadImage(str(path)), str(tmp_path / "a.nii.gz"))
    for (array, affine), (other, other_affine) in [(read_volume(path), read_volume(tmp_path / "a.nii.gz"))]:
        np.testing.assert_array_equal(array, other)
        np.testing.assert_allclose(affine, other_affine, atol=1e-5)


def test_map_becomes_nifti(tmp_path, write_mha):
    path = write_mha("a.mha", direction=(0, 0, 1, -1, 0, 0, 0, -1, 0))
    array, affine = read_volume(path)
    write_like(tmp_path / "map.nii.gz", array > 450, path)
    assert nib.load(tmp_path / "map.nii.gz").shape == (6, 5, 4)
    np.testing.assert_array_equal(read_labels(tmp_path / "map.nii.gz"), array > 450)
    np.testing.assert_allclose(read_affine(tmp_path / "map.nii.gz"), affine, atol=1e-5)


def test_missing_and_broken(tmp_path, write_mha):
    with pytest.raises(InputError, match=r"b\.mha: expected a MetaImage file, found none"):
        source_files(tmp_path / "b.mha")
    path = write_mha("c.mha")
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(InputError, match=r"c\.mha: expected a whole MetaImage file"):
        read_volume(path)
    path.write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"c\.mha: expected a whole MetaImage file"):
        read_volume(path)


def test_several_values_per_voxel(tmp_path):
    itk.WriteImage(itk.GetImageFromArray(np.ones((2, 3, 4, 2)), isVector=True), str(tmp_path / "v.mha"))
    with pytest.raises(InputError, match=r"v\.mha: expected three dimensions and one value per voxel"):
        read_volume(tmp_path / "v.mha")
