import pandas as pd
import pytest

from uad_data.errors import InputError
from uad_data.table import checked_table


def rows(**changes):
    return pd.DataFrame({"subject": ["a", "b"], "pathology": "ms", "image_t1": ["a.nii", "b.nii"]} | changes)


def test_optional_columns_are_filled_in_and_others_kept():
    table = checked_table(rows(age=["40", "50"], pathology=["ms", None]))
    assert list(table) == ["subject", "session", "split", "pathology", "image_t1", "brain", "lesion", "age"]
    assert table.loc[1].tolist() == ["b", "", "", "unknown", "b.nii", "", "", "50"]


def test_numbers_become_names():
    assert checked_table(rows(subject=[1, 2]))["subject"].tolist() == ["1", "2"]


def test_missing_columns():
    with pytest.raises(InputError, match="expected the columns subject, pathology and image_<modality>, found subject"):
        checked_table(rows().drop(columns="image_t1"))


def test_no_row():
    with pytest.raises(InputError, match="expected at least one scan, found none"):
        checked_table(rows()[:0])


def test_row_without_image_or_subject():
    with pytest.raises(InputError, match="row 2: expected an image, found an empty cell"):
        checked_table(rows(image_t1=["a.nii", ""]))
    with pytest.raises(InputError, match="row 1: expected a subject's name"):
        checked_table(rows(subject=["", "b"]))


def test_duplicate_subject():
    with pytest.raises(InputError, match="subject 'a', session '': expected one row, found more"):
        checked_table(rows(subject="a"))
    checked_table(rows(subject="a", session=["1", "2"]))


def test_unknown_split():
    with pytest.raises(InputError, match="subject 'b': expected the split train, val, test or none, found 'tests'"):
        checked_table(rows(split=["", "tests"]))


def test_subject_in_two_splits():
    with pytest.raises(InputError, match=r"subject 'a': expected all scans in one split, found \['test', 'train'\]"):
        checked_table(rows(subject="a", session=["1", "2"], split=["train", "test"]))
