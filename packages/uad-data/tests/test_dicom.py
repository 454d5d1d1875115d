import locale

import nibabel as nib
import numpy as np
import pytest

from uad_data.errors import InputError
from uad_data.readers import map_ending, read_affine, read_labels, read_volume, source_files, write_like

STORED = np.random.default_rng(1).integers(0, 2000, (4, 8, 7))


def test_series_is_stacked_by_place_in_hounsfield_units(write_series):
    folder = write_series("ct", STORED)
    array, affine = read_volume(folder)
    # Rows run to the back and columns to the left: RAS+ turns both; slices ascend already.
    np.testing.assert_array_equal(array, STORED[:, ::-1, ::-1])
    # DICOM's place of the first voxel (left, back, up) is the last voxel along w and h.
    np.testing.assert_allclose(affine @ (6, 7, 0, 1), (10, 20, 5, 1), atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(affine[:3, :3], axis=0), (0.5, 0.75, 2), atol=1e-4)
    np.testing.assert_array_equal(read_affine(folder), affine)


def test_rescaled_as_the_header_says(write_series):
    folder = write_series("ct", STORED)
    for path in folder.iterdir():
        header = path.read_bytes()
        assert header.count(b"-1024 ") == 1
        path.write_bytes(header.replace(b"-1024 ", b"-1000 "))
    # The same stored numbers, with another intercept.
    np.testing.assert_array_equal(read_volume(folder)[0], STORED[:, ::-1, ::-1] + 24)


def test_agrees_with_simpleitks_own_stack_for_an_oblique_series(write_series):
    itk = pytest.importorskip("SimpleITK")
    turn = np.radians(20)
    axes = ((1, 0, 0), (0, np.cos(turn), np.sin(turn)), (0, -np.sin(turn), np.cos(turn)))
    folder = write_series("mr", STORED, axes=axes, step=tuple(3 * value for value in axes[2]), modality="MR")
    array, affine = read_volume(folder)
    names = itk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
    image = itk.ReadImage(names)
    for voxel in ((0, 0, 0), (6, 2, 3), (1, 7, 1)):
        point = np.array(image.TransformIndexToPhysicalPoint(voxel)) * (-1, -1, 1)
        k = np.rint(np.linalg.inv(affine) @ (*point, 1))[:3].astype(int)
        np.testing.assert_allclose((affine @ (*k, 1))[:3], point, atol=1e-3)
        assert array[k[2], k[1], k[0]] == image[voxel]


def test_map_becomes_nifti_on_the_series_grid(tmp_path, write_series):
    folder = write_series("ct", STORED)
    array, affine = read_volume(folder)
    assert map_ending(folder) == ".nii.gz"
    write_like(tmp_path / "map.nii.gz", array, folder)
    image = nib.load(tmp_path / "map.nii.gz")
    # The file keeps the series' own order of voxels.
    assert nib.aff2axcodes(image.affine) == ("L", "P", "S")
    np.testing.assert_array_equal(np.asarray(image.dataobj), STORED.transpose(2, 1, 0))
    again, affine_again = read_volume(tmp_path / "map.nii.gz")
    np.testing.assert_array_equal(again, array)
    np.testing.assert_allclose(affine_again, affine, atol=1e-4)
    with pytest.raises(InputError, match=r"expected the shape \(4, 8, 7\)"):
        write_like(tmp_path / "map.nii.gz", array[1:], folder)
    with pytest.raises(InputError, match=r"map\.tif: expected a name ending in \.nii"):
        write_like(tmp_path / "map.tif", array, folder)


def test_files_need_no_ending(write_series, write_text):
    folder = write_series("ct", STORED, suffix="")
    write_text("ct/readme.txt", "from the archive")
    assert [path.name for path in source_files(folder)] == ["IM0001", "IM0002", "IM0003", "IM0004"]
    assert read_volume(folder)[0].shape == (4, 8, 7)


def test_several_series_are_named(write_series):
    folder = write_series("ct", STORED, uid="1.2.3", description="Plain 5 mm")
    write_series("ct", STORED + 1, uid="1.2.4", description="Bone", suffix=".ima")
    expected = r"expected one DICOM series, found 2; .*Plain 5 mm \(4 slices\): .*ct#1\.2\.3; Bone .*ct#1\.2\.4"
    with pytest.raises(InputError, match=expected):
        read_volume(folder)
    plain, bone = (read_volume(f"{folder}#{uid}")[0] for uid in ("1.2.3", "1.2.4"))
    np.testing.assert_array_equal(bone, plain + 1)
    assert len(source_files(f"{folder}#1.2.4")) == 4
    with pytest.raises(InputError, match=r"#1\.2\.9: expected a folder of DICOM slices, found none"):
        source_files(f"{folder}#1.2.9")


def test_gantry_tilt(write_series):
    folder = write_series("ct", step=(0.0, 0.5, 2.0))
    with pytest.raises(InputError, match=r"ct: expected slices stacked at right angles, found a gantry tilt of 14\.0"):
        read_volume(folder)


@pytest.mark.parametrize(
    ("places", "message"),
    [((0, 1, 3, 4), r"even distances, found gaps from 2\.00 to 4\.00 mm"), ((0, 1, 1, 2), "found several at one")],
)
def test_uneven_gaps(write_series, places, message):
    with pytest.raises(InputError, match=message):
        read_volume(write_series("ct", places=places))


def test_rounded_places_pass(write_series):
    array, affine = read_volume(write_series("ct", STORED, places=(0, 1.01, 1.99, 3)))
    np.testing.assert_allclose(np.linalg.norm(affine[:3, 2]), 2, atol=1e-4)
    assert array.shape == (4, 8, 7)


def test_localiser_among_the_slices(write_series):
    folder = write_series("ct", STORED)
    write_series("ct", STORED[:1], axes=((0, 1, 0), (0, 0, -1), (-1, 0, 0)), suffix=".loc")
    with pytest.raises(InputError, match="expected the size and the orientation of"):
        read_volume(folder)


def test_frames(tmp_path):
    itk = pytest.importorskip("SimpleITK")
    (tmp_path / "mf").mkdir()
    itk.WriteImage(itk.GetImageFromArray(STORED.astype(np.uint16)), str(tmp_path / "mf/a.dcm"))
    with pytest.raises(
        InputError, match=r"a\.dcm: expected one slice per file, found 4 frames; convert it with dcm2niix"
    ):
        read_volume(tmp_path / "mf")


def test_picture_without_a_place(write_series):
    folder = write_series("ct", STORED)
    path = folder / "IM0002.dcm"
    # Another tag in the place of ImagePositionPatient.
    path.write_bytes(path.read_bytes().replace(b"\x20\x00\x32\x00", b"\x20\x00\x33\x00", 1))
    with pytest.raises(InputError, match=r"IM0002\.dcm: expected the slice's position and orientation in its header"):
        read_volume(folder)


def test_cut_short(write_series):
    folder = write_series("ct", STORED)
    path = folder / "IM0002.dcm"
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(InputError, match=r"IM0002\.dcm: expected|ct: expected"):
        read_volume(folder)


def test_folder_without_dicom(tmp_path, touch):
    touch("empty/readme.txt")
    with pytest.raises(InputError, match="empty: expected a folder of DICOM slices, found none in it"):
        read_volume(tmp_path / "empty")


def test_mask(write_series):
    labels = np.zeros((4, 8, 7), int)
    labels[1, 2, 3] = 1
    assert read_labels(write_series("mask", labels)).sum() == 1


def test_reading_leaves_the_locale_as_it_was(write_series):
    folder = write_series("scan")
    before = locale.setlocale(locale.LC_ALL)
    read_volume(folder)
    assert locale.setlocale(locale.LC_ALL) == before


def test_without_simpleitk(write_series, monkeypatch):
    folder = write_series("ct")
    monkeypatch.setitem(__import__("sys").modules, "SimpleITK", None)
    with pytest.raises(InputError, match=r"expected the package SimpleITK.*pip install SimpleITK"):
        read_volume(folder)
