import numpy as np
import pytest

from uad_data.errors import InputError
from uad_data.layouts.images_masks import index

EMPTY, FULL = np.zeros((5, 6), np.uint8), np.full((5, 6), 255, np.uint8)


def test_sibling_folders(tmp_path, write_picture):
    for name in ("sub-10", "sub-9"):
        write_picture(f"images/{name}.png")
    write_picture("masks/sub-9.png", EMPTY)
    write_picture("masks/sub-10.tif", FULL)
    (tmp_path / "images/Thumbs.db").touch()
    assert index(tmp_path).to_dict("list") == {
        "subject": ["sub-9", "sub-10"],
        "pathology": ["healthy", "lesion"],
        "image_flair": [f"{tmp_path}/images/sub-9.png", f"{tmp_path}/images/sub-10.png"],
        "lesion": [f"{tmp_path}/masks/sub-9.png", f"{tmp_path}/masks/sub-10.tif"],
    }


def test_suffix(tmp_path, write_picture):
    write_picture("a.png")
    write_picture("a_mask.png", FULL)
    table = index(tmp_path)
    assert table["subject"].tolist() == ["a"]
    assert table["lesion"].tolist() == [f"{tmp_path}/a_mask.png"]


def test_picture_without_mask_among_siblings(tmp_path, write_picture):
    write_picture("images/a.png")
    with pytest.raises(InputError, match=r"images/a\.png: expected its mask masks/a\.png, found none"):
        index(tmp_path)


def test_picture_without_mask_beside_it(tmp_path, write_picture):
    write_picture("a.png")
    with pytest.raises(InputError, match=r"a\.png: expected its mask a_mask\.png, found none"):
        index(tmp_path)


def test_two_pictures_of_one_name(tmp_path, write_picture):
    write_picture("images/a.png")
    write_picture("images/a.tif")
    with pytest.raises(InputError, match=r"a\.tif: expected one picture named a, found also a\.png"):
        index(tmp_path)


def test_broken_mask(tmp_path, write_picture):
    write_picture("images/a.png")
    write_picture("masks/a.png", FULL).write_bytes(b"PNG")
    with pytest.raises(InputError, match=r"masks/a\.png: expected a picture, found a file that cannot be read"):
        index(tmp_path)
