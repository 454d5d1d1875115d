import numpy as np
import pytest

from uad_data.cohort import Cohort
from uad_data.errors import InputError
from uad_data.layouts.kaggle_3m import index


@pytest.fixture
def write_case(write_picture):
    """Write a patient's slices; the named channels are copies of FLAIR."""

    def write(name, copies=(), count=11):
        for k in range(1, count + 1):
            pixels = np.random.default_rng(k).integers(0, 255, (6, 5, 3), np.uint8)
            pixels[..., list(copies)] = pixels[..., 1:2]
            write_picture(f"{name}/{name}_{k}.tif", pixels)
            write_picture(f"{name}/{name}_{k}_mask.tif", np.full((6, 5), 255 * (k == 10), np.uint8))

    return write


def test_one_row_per_patient(tmp_path, write_case):
    write_case("TCGA_CS_4942_19970222")
    write_case("TCGA_HT_A616_19991226")
    (tmp_path / "data.csv").touch()
    table = index(tmp_path)
    assert table["subject"].tolist() == ["TCGA_CS_4942", "TCGA_HT_A616"]
    assert table["session"].tolist() == ["19970222", "19991226"]
    assert table["pathology"].tolist() == ["lgg", "lgg"]
    scan = Cohort(table.assign(brain=table["image_flair"]), tmp_path)
    assert scan.modalities == ("t1", "flair", "t1ce")


def test_channels_and_slices_line_up(tmp_path, write_case, monkeypatch):
    write_case("TCGA_CS_4942_19970222")
    monkeypatch.setattr("uad_data.cohort.brain_mask", lambda volume, _: volume >= 0)
    scan = Cohort(index(tmp_path), tmp_path).load(0)
    assert scan.image.shape == (3, 11, 6, 5)
    tenth = np.random.default_rng(10).integers(0, 255, (6, 5, 3), np.uint8)
    np.testing.assert_array_equal(scan.image[:, 9], np.moveaxis(tenth[::-1, ::-1], -1, 0))
    assert np.flatnonzero(scan.lesion.any(axis=(1, 2))).tolist() == [9]
    assert scan.lesion.max() == 1


def test_copied_flair_is_a_missing_sequence(tmp_path, write_case):
    write_case("TCGA_CS_4942_19970222", copies=(2,))
    write_case("TCGA_CS_4944_20010208", copies=(0,))
    table = index(tmp_path)
    assert (table["image_t1"] == "").tolist() == [False, True]
    assert (table["image_t1ce"] == "").tolist() == [True, False]
    assert (table["image_flair"] != "").all()


def test_slice_without_mask(tmp_path, write_case):
    write_case("TCGA_CS_4942_19970222")
    (tmp_path / "TCGA_CS_4942_19970222/TCGA_CS_4942_19970222_3_mask.tif").unlink()
    with pytest.raises(InputError, match=r"19970222_3\.tif: expected its mask TCGA_CS_4942_19970222_3_mask\.tif"):
        index(tmp_path)


def test_patient_without_slices(tmp_path):
    (tmp_path / "TCGA_CS_4942_19970222").mkdir()
    with pytest.raises(InputError, match=r"TCGA_CS_4942_19970222: expected slices such as"):
        index(tmp_path)
