import errno
import gzip
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from uad_postproc import InputError
from uad_postproc.nifti import check_output, read_map, read_mask, read_volume, write_mask

AFFINE = np.array([[0, 0, 3.0, -20], [-0.8, 0, 0, 30], [0, 1.2, 0, -5], [0, 0, 0, 1]])  # axes (P, S, R)


@pytest.fixture
def save(tmp_path, rng):
    def save(name, array=None, affine=AFFINE, kind=nib.Nifti1Image):
        array = rng.random((6, 7, 8)).astype(np.float32) if array is None else array
        nib.save(kind(array, affine), tmp_path / name)
        return tmp_path / name

    return save


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_mask_keeps_grid_and_header_of_the_map(save, tmp_path, kind, suffix):
    image = kind(np.arange(336, dtype=np.int16).reshape(6, 7, 8), None)
    image.set_sform(AFFINE, 4)
    image.set_qform(AFFINE, 1)
    image.header["descrip"] = b"a scan"
    image.header.set_slope_inter(0.5, 1)
    nib.save(image, tmp_path / "map.nii.gz")
    volume = read_map(tmp_path / "map.nii.gz")
    mask = volume.array > 100
    out = tmp_path / "new" / f"mask{suffix}"
    write_mask(out, mask, volume)
    written = nib.load(out)
    assert type(written) is kind
    assert written.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(np.asarray(written.dataobj), mask)
    np.testing.assert_allclose(written.affine, AFFINE, atol=1e-6)
    assert (written.header["sform_code"], written.header["qform_code"]) == (4, 1)
    assert bytes(written.header["descrip"]).rstrip(b"\0") == b"a scan"
    assert [path.name for path in out.parent.iterdir()] == [out.name]


def test_scaled_integers_are_read_as_their_values(tmp_path):
    image = nib.Nifti1Image(np.arange(8, dtype=np.int16).reshape(2, 2, 2), AFFINE)
    image.header.set_slope_inter(0.5, 1)
    nib.save(image, tmp_path / "map.nii")
    stored = nib.load(tmp_path / "map.nii").get_fdata()
    np.testing.assert_allclose(read_map(tmp_path / "map.nii").array, stored)


def test_bad_files(save, tmp_path, rng):
    good = save("good.nii.gz")
    (tmp_path / "cut.nii.gz").write_bytes(good.read_bytes()[:-200])
    (tmp_path / "cut.nii").write_bytes(gzip.decompress(good.read_bytes())[:-200])
    (tmp_path / "header.nii").write_bytes(gzip.decompress(good.read_bytes())[:100])
    (tmp_path / "empty.nii.gz").write_bytes(b"")
    (tmp_path / "text.nii.gz").write_text("not a scan")
    for name in ("cut.nii.gz", "cut.nii", "header.nii", "empty.nii.gz", "text.nii.gz"):
        with pytest.raises(InputError, match=f"{name}: cannot be read, it is cut short or not a NIfTI file"):
            read_volume(tmp_path / name)
    with pytest.raises(InputError, match=r"missing\.nii: no such file"):
        read_volume(tmp_path / "missing.nii")
    with pytest.raises(InputError, match=r"expected a 3D volume, found shape \(4, 5, 6, 2\)"):
        read_volume(save("4d.nii.gz", rng.random((4, 5, 6, 2))))
    holed = rng.random((4, 5, 6))
    holed[1, 1, :2] = np.nan, np.inf
    with pytest.raises(InputError, match=r"nan\.nii\.gz: expected finite values, found 2"):
        read_volume(save("nan.nii.gz", holed))
    colours = np.zeros((4, 5, 6), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    with pytest.raises(InputError, match="plain numbers"):
        read_volume(save("rgb.nii.gz", colours))


def test_singular_affine(tmp_path):
    image = nib.Nifti1Image(np.arange(8.0).reshape(2, 2, 2), None)
    image.header["sform_code"] = 1
    image.header["srow_x"], image.header["srow_y"] = (1, 0, 0, 0), (0, 1, 0, 0)
    nib.save(image, tmp_path / "flat.nii")
    content = bytearray((tmp_path / "flat.nii").read_bytes())
    content[254:256] = (1).to_bytes(2, "little")  # sform_code, which nibabel clears without an affine
    content[280:328] = np.zeros(12, "<f4").tobytes()
    (tmp_path / "flat.nii").write_bytes(content)
    with pytest.raises(InputError, match="singular"):
        read_volume(tmp_path / "flat.nii")


def test_constant_map(save):
    with pytest.raises(InputError, match=r"constant or empty.*predicted"):
        read_map(save("flat.nii.gz", np.full((3, 4, 5), 2.0)))


def test_mask_must_lie_on_the_grid_of_the_map(save):
    volume = read_map(save("map.nii.gz"))
    ones = np.ones((6, 7, 8), np.uint8)
    assert read_mask(save("brain.nii.gz", ones), volume).dtype == bool
    with pytest.raises(InputError, match=r"small\.nii\.gz: expected the shape \(6, 7, 8\).*found \(6, 7, 7\)"):
        read_mask(save("small.nii.gz", ones[..., :7]), volume)
    moved = AFFINE.copy()
    moved[0, 3] += 1
    with pytest.raises(InputError, match=r"moved\.nii\.gz: expected the affine of .*map\.nii\.gz.*by up to 1"):
        read_mask(save("moved.nii.gz", ones, moved), volume)
    rounded = AFFINE + 1e-4 * (AFFINE != 0)
    assert read_mask(save("rounded.nii.gz", ones, rounded), volume).all()


def test_output_names(tmp_path):
    with pytest.raises(InputError, match=r"ends in \.nii\.gz or \.nii"):
        check_output(tmp_path / "mask.png", tmp_path / "map.nii")
    with pytest.raises(InputError, match="overwrite the map"):
        check_output(tmp_path / "x" / ".." / "map.nii", tmp_path / "map.nii")


def test_mask_appears_in_one_move(save, tmp_path, monkeypatch):
    volume = read_map(save("map.nii.gz"))
    out = tmp_path / "out" / "mask.nii.gz"
    moves = []
    replace = os.replace

    def watched(source, target):
        moves.append((source.parent, target, out.exists()))
        replace(source, target)

    monkeypatch.setattr(os, "replace", watched)
    write_mask(out, volume.array > 0.5, volume)
    assert moves == [(out.parent, out, False)]
    assert read_volume(out).array.any()


def test_full_disk_leaves_nothing_half_written(save, tmp_path, monkeypatch):
    volume = read_map(save("map.nii.gz"))
    out = tmp_path / "out" / "mask.nii.gz"
    write_mask(out, volume.array > 0.5, volume)
    before = out.read_bytes()

    def full(path, content):
        with path.open("wb") as file:
            file.write(content[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(InputError, match=r"mask\.nii\.gz: cannot be written: No space left on device"):
        write_mask(out, volume.array > 0.9, volume)
    assert [path.name for path in out.parent.iterdir()] == ["mask.nii.gz"]
    assert out.read_bytes() == before
