import errno
import os

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile

from uad_data.errors import InputError
from uad_data.readers import read_affine, read_labels, read_volume, source_files, write_like


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.bmp"])
def test_picture_is_one_slice_turned_to_ras(write_picture, name):
    pixels = np.arange(30, dtype=np.uint8).reshape(5, 6)
    path = write_picture(name, pixels)
    array, affine = read_volume(path)
    # Row 0 is anterior (h last), column 0 is the subject's right (w last).
    np.testing.assert_array_equal(array, pixels[None, ::-1, ::-1])
    np.testing.assert_array_equal(affine, np.eye(4))
    np.testing.assert_array_equal(read_affine(path), np.eye(4))


def test_16_bits(write_picture):
    pixels = np.arange(30, dtype=np.uint16).reshape(5, 6) * 1000
    assert read_volume(write_picture("a.png", pixels))[0].max() == 29000


def test_stack_in_natural_order_with_channel(tmp_path, write_picture):
    for k in (1, 2, 10):
        write_picture(f"case/case_{k}.tif", np.full((4, 4, 3), (0, k, 9), np.uint8))
        write_picture(f"case/case_{k}_mask.tif", np.full((4, 4), 255, np.uint8))
    array, _ = read_volume(tmp_path / "case/case_*[0-9].tif#1")
    assert array.shape == (3, 4, 4)
    assert array[:, 0, 0].tolist() == [1, 2, 10]
    assert [path.name for path in source_files(tmp_path / "case/case_*_mask.tif")] == [
        "case_1_mask.tif", "case_2_mask.tif", "case_10_mask.tif",
    ]  # fmt: skip


def test_hidden_files_are_no_slices(tmp_path, write_picture):
    write_picture("a_1.png")
    write_picture("._a_1.png")
    write_picture(".tmp-a_2.png")
    assert [path.name for path in source_files(tmp_path / "*.png")] == ["a_1.png"]


def test_folder_with_wildcard_letters_is_taken_literally(tmp_path, write_picture):
    write_picture("set [1]/a_1.png")
    assert read_volume(tmp_path / "set [1]" / "a_*.png")[0].shape == (1, 5, 6)


def test_grey_stored_as_colour_needs_no_channel(write_picture):
    grey = np.arange(30, dtype=np.uint8).reshape(5, 6)
    opaque = np.full_like(grey, 255)
    rgba = write_picture("rgba.png", np.stack([grey, grey, grey, opaque], -1))
    la = write_picture("la.png", np.stack([grey, opaque], -1))
    for path in (rgba, la):
        np.testing.assert_array_equal(read_volume(path)[0][0], grey[::-1, ::-1])


def test_planar_tiff(tmp_path):
    pixels = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", planarconfig="separate")
    np.testing.assert_array_equal(read_volume(tmp_path / "a.tif#2")[0][0], pixels[2, ::-1, ::-1])


def test_colours_without_a_channel(write_picture):
    path = write_picture("a.png", shape=(5, 6, 3))
    with pytest.raises(InputError, match=r"a\.png: expected grey values, found 3 different channels; name one"):
        read_volume(path)


@pytest.mark.parametrize(("shape", "found"), [((5, 6, 3), 3), ((5, 6), 1)])
def test_channel_out_of_range(write_picture, shape, found):
    path = write_picture("a.png", shape=shape)
    with pytest.raises(InputError, match=rf"a\.png: expected a channel #3, found {found} channels"):
        read_volume(f"{path}#3")


def test_slices_of_different_size(tmp_path, write_picture):
    write_picture("a_1.png", shape=(5, 6))
    write_picture("a_2.png", shape=(5, 7))
    with pytest.raises(InputError, match=r"a_2\.png: expected the \(5, 6\) pixels of .*a_1\.png, found \(5, 7\)"):
        read_volume(tmp_path / "a_*.png")


@pytest.mark.parametrize("name", ["a.png", "no/a_*.png", "a_*.png"])
def test_missing_picture(tmp_path, name):
    with pytest.raises(InputError, match="expected a picture, found none"):
        read_volume(tmp_path / name)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
@pytest.mark.parametrize("keep", [0, 20, 0.6])
def test_truncated_picture(write_picture, name, keep):
    path = write_picture(name, shape=(64, 64))
    content = path.read_bytes()
    path.write_bytes(content[: keep if isinstance(keep, int) else int(keep * len(content))])
    with pytest.raises(InputError, match=rf"{name}: expected a picture, found a file that cannot be read"):
        read_volume(path)


def test_white_is_label_one(write_picture):
    pixels = np.zeros((5, 6), np.uint8)
    pixels[0, 0] = 255
    labels = read_labels(write_picture("m.png", pixels))
    assert labels[0, -1, -1] == 1
    assert labels.sum() == 1


def test_classes_stay(write_picture):
    pixels = np.zeros((5, 6), np.uint8)
    pixels[0, :3] = 1, 2, 4
    assert np.unique(read_labels(write_picture("m.png", pixels))).tolist() == [0, 1, 2, 4]


def test_smoothed_mask(write_picture):
    with pytest.raises(InputError, match=r"m\.png: expected a mask of a few labels, found \d+ grey values"):
        read_labels(write_picture("m.png", shape=(20, 20)))


@pytest.mark.parametrize("count", [1, 3])
def test_map_of_a_stack_round_trip(tmp_path, write_picture, count):
    for k in range(count):
        write_picture(f"a_{k}.png", seed=k)
    reference = tmp_path / "a_*.png"
    array, _ = read_volume(reference)
    out = tmp_path / "map.tif"
    write_like(out, array / 7, reference)
    with tifffile.TiffFile(out) as tiff:
        assert [page.dtype for page in tiff.pages] == [np.float32] * count
        first = iio.imread(tmp_path / "a_0.png").astype(np.float32) / np.float32(7)
        np.testing.assert_array_equal(tiff.pages[0].asarray(), first)
    np.testing.assert_array_equal(read_volume(out)[0], array / 7)


def test_mask_round_trip(tmp_path, write_picture):
    path = write_picture("a.png")
    array, _ = read_volume(path)
    write_like(tmp_path / "mask.tif", array > 100, path)
    np.testing.assert_array_equal(read_labels(tmp_path / "mask.tif"), array > 100)


def test_map_of_another_shape_or_ending(tmp_path, write_picture):
    path = write_picture("a.png")
    with pytest.raises(InputError, match=r"map\.tif: expected the shape \(1, 5, 6\) of .*a\.png, found \(2, 5, 6\)"):
        write_like(tmp_path / "map.tif", np.zeros((2, 5, 6)), path)
    with pytest.raises(InputError, match=r"map\.png: expected a name ending in \.tif"):
        write_like(tmp_path / "map.png", np.zeros((1, 5, 6)), path)


def test_full_disk_leaves_no_map(tmp_path, write_picture, monkeypatch):
    path = write_picture("a.png")

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        write_like(tmp_path / "map.tif", np.zeros((1, 5, 6)), path)
    assert list(tmp_path.iterdir()) == [path]
