import logging

import numpy as np
import pytest

from uad_data.errors import InputError
from uad_data.layouts import index_layout
from uad_data.layouts.fastmri_plus import index

h5py = pytest.importorskip("h5py")

FLAIR, T2, NORMAL, UNREAD, WHOLE = (
    f"file_brain_{kind}_{k}_2000" for k, kind in enumerate(("AXFLAIR", "AXT2", "AXT1POST", "AXT1", "AXT1PRE"))
)
TABLE = (
    "file,slice,study_level,x,y,width,height,label\n"
    f"{FLAIR},1,No,2,1,3,2,Mass\n{FLAIR},1,No,2,1,3,2,Edema\n{FLAIR},2,No,2,1,3,2,Edema\n"
    f"{NORMAL},0,Yes,,,,,Normal for age\n{WHOLE},0,Yes,,,,,Small vessel chronic white matter ischemic change\n"
)


@pytest.fixture
def data(tmp_path, write_text):
    for k, stem in enumerate((FLAIR, T2, NORMAL, UNREAD, WHOLE)):
        path = tmp_path / "fastMRI" / ("multicoil_train", "multicoil_val")[k % 2] / f"{stem}.h5"
        path.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(path, "w") as file:
            file["reconstruction_rss"] = np.random.default_rng(k).random((3, 8, 6), np.float32)
    write_text("fastMRI/plus/brain.csv", TABLE)
    write_text("fastMRI/plus/brain_file_list.csv", "\n".join((FLAIR, T2, NORMAL, WHOLE)))
    return tmp_path / "fastMRI"


def test_labels_and_boxes(tmp_path, data, caplog):
    with caplog.at_level(logging.WARNING):
        cohort = index_layout("fastmri_plus", data, tmp_path / "out.csv")
    table = cohort.table.set_index("subject")
    assert table["pathology"].to_dict() == {
        FLAIR: "edema",
        T2: "healthy",
        NORMAL: "healthy",
        WHOLE: "small vessel chronic white matter ischemic change",
    }
    assert "1 of 5 volumes were not annotated" in caplog.text
    assert (table["lesion"] != "").to_dict() == {FLAIR: True, T2: False, NORMAL: False, WHOLE: False}
    assert [name for name in table if name.startswith("image_")] == [
        "image_flair",
        "image_t1ce",
        "image_t1",
        "image_t2",
    ]
    row = cohort.table.index[cohort.table["subject"] == FLAIR][0]
    lesion = cohort.load(row, ("flair",)).lesion
    assert lesion.sum(axis=(1, 2)).tolist() == [0, 6, 6]


def test_missing_tables(data):
    (data / "plus/brain_file_list.csv").unlink()
    with pytest.raises(InputError, match=r"expected one brain_file_list\.csv of fastMRI\+ with the volumes, found 0"):
        index(data)


def test_other_volumes(data, write_text):
    write_text("fastMRI/plus/brain.csv", TABLE.splitlines()[0])
    write_text("fastMRI/plus/brain_file_list.csv", "file_brain_AXT1_999_1")
    with pytest.raises(InputError, match=r"expected volumes that brain\.csv or brain_file_list\.csv names, found none"):
        index(data)


def test_volume_twice(data, touch):
    touch(f"fastMRI/copy/{FLAIR}.h5")
    with pytest.raises(InputError, match=f"expected one file for image_flair of subject {FLAIR}"):
        index(data)
