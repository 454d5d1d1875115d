from dataclasses import replace

import numpy as np
import pytest

from uad_data.errors import InputError
from uad_models.labelled.scans import label_values, labelled_scans, labelled_view, scan_names


def scans_of(store, split):
    return set(store.index["scan"].iloc[store.rows(split)])


def test_only_scans_with_a_lesion_are_labelled_ones(store):
    assert [labelled_scans(store, split).tolist() for split in ("train", "val", "test")] == [[1, 3], [5], [7]]
    view = labelled_view(store)
    assert (scan_names(view, "train"), scan_names(view, "val")) == (["s1", "s3"], ["s5"])
    rows = view.rows("train")
    assert set(store.index["scan"].iloc[rows]) == {1, 3}
    assert len(rows) == np.isin(store.index["scan"], [1, 3]).sum()  # the slices without lesion too
    assert np.array_equal(view.rows("test"), store.rows("test"))


def test_the_few_are_part_of_the_many_and_the_seed_chooses(store):
    split = np.where(np.isin(store.index["scan"], [5, 7]), "train", store.index["split"])
    split = np.where(store.index["scan"] == 3, "val", split)
    wide = replace(store, index=store.index.assign(split=split))  # scans 1, 5, 7 are to learn from
    chosen = {
        seed: [scans_of(labelled_view(wide, scans=count, seed=seed), "train") for count in (1, 2, 3)]
        for seed in range(12)
    }
    for one, two, three in chosen.values():
        assert one < two < three == {1, 5, 7}
    assert {next(iter(one)) for one, _, _ in chosen.values()} == {1, 5, 7}
    assert scans_of(labelled_view(wide, scans=1, seed=0), "val") == {3}


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"scans": 3}, "split 'train': expected 1 to 2, as many as have a lesion, got 3"),
        ({"scans": 0}, "split 'train': expected 1 to 2"),
        ({"validation_scans": 2}, "split 'val': expected 1 to 1"),
    ],
)
def test_more_than_there_are(store, asked, message):
    with pytest.raises(InputError, match=message):
        labelled_view(store, **asked)


def test_without_a_labelled_scan_to_validate_on(store):
    healthy = replace(store, index=store.index.assign(split=store.index["split"].where(store.index["scan"] != 5, "")))
    with pytest.raises(InputError, match="split 'val': expected 1 to 0, as many as have a lesion, got all"):
        labelled_view(healthy)


def test_label_values(store):
    lesion = np.array(store.lesion)
    lesion[store.rows("train")] *= 4
    assert label_values(replace(store, lesion=lesion), "train") == [4]
    assert label_values(store, "val") == [1]
