import pandas as pd
import pytest

from uad_data.errors import InputError
from uad_data.split import fold_by_subject, split_by_subject

TABLE = pd.DataFrame(
    {
        "subject": [f"s{k}" for k in range(100)] * 2,
        "session": ["1"] * 100 + ["2"] * 100,
        "pathology": (["ms"] * 20 + ["healthy"] * 80) * 2,
    }
)


def test_shares_hold_in_the_whole_and_in_each_pathology():
    table = split_by_subject(TABLE, seed=0).drop_duplicates("subject")
    counts = pd.crosstab(table["pathology"], table["split"])
    assert counts.sum().to_dict() == {"train": 60, "val": 15, "test": 25}
    assert counts.loc["ms"].to_dict() == {"train": 12, "val": 3, "test": 5}


def test_all_scans_of_a_subject_are_in_one_split():
    assert (split_by_subject(TABLE, seed=1).groupby("subject")["split"].nunique() == 1).all()


def test_seed_decides_and_row_order_does_not():
    first = split_by_subject(TABLE, seed=3)["split"]
    again = split_by_subject(TABLE[::-1], seed=3)["split"].sort_index()
    assert first.equals(again)
    assert not first.equals(split_by_subject(TABLE, seed=4)["split"])


def test_subject_whose_pathology_changes_is_dealt_once():
    table = pd.DataFrame({"subject": ["a", "a", "b"], "pathology": ["healthy", "ms", "ms"]})
    assert split_by_subject(table, fractions=(0, 0, 1), seed=0)["split"].tolist() == ["test"] * 3


def test_many_rare_pathologies_keep_the_shares():
    table = pd.DataFrame({"subject": [str(k) for k in range(20)], "pathology": [f"p{k}" for k in range(20)]})
    counts = split_by_subject(table, seed=0)["split"].value_counts().to_dict()
    assert counts == {"train": 12, "test": 5, "val": 3}


@pytest.mark.parametrize("fractions", [(0.5, 0.5), (0.5, 0.3, 0.3), (-0.2, 0.6, 0.6)])
def test_fractions_that_are_no_shares(fractions):
    with pytest.raises(InputError, match="fractions: expected three shares"):
        split_by_subject(TABLE, fractions=fractions, seed=0)


def test_every_subject_is_tested_in_one_fold_and_folds_are_stratified():
    folds = fold_by_subject(TABLE, folds=5, validation=0.25, seed=0)
    assert all(set(fold) == set(TABLE["subject"]) for fold in folds)
    tested = [subject for fold in folds for subject, split in fold.items() if split == "test"]
    assert sorted(tested) == sorted(set(TABLE["subject"]))
    people = TABLE.drop_duplicates("subject")
    for fold in folds:
        counts = pd.crosstab(people["pathology"], people["subject"].map(fold))
        assert counts.sum().to_dict() == {"train": 60, "val": 20, "test": 20}
        assert counts.loc["ms"].to_dict() == {"train": 12, "val": 4, "test": 4}


def test_folds_that_do_not_divide_differ_by_one_subject():
    table = pd.DataFrame({"subject": [str(k) for k in range(13)], "pathology": ["a"] * 6 + ["b"] * 7})
    tests = [{s for s, split in fold.items() if split == "test"} for fold in fold_by_subject(table, folds=4)]
    assert sorted(map(len, tests)) == [3, 3, 3, 4]
    of_a = [len(test & {str(k) for k in range(6)}) for test in tests]
    assert max(of_a) - min(of_a) <= 1


def test_seed_decides_the_folds_and_row_order_does_not():
    assert fold_by_subject(TABLE, folds=3, seed=1) == fold_by_subject(TABLE[::-1], folds=3, seed=1)
    assert fold_by_subject(TABLE, folds=3, seed=1) != fold_by_subject(TABLE, folds=3, seed=2)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"folds": 1}, "folds: expected 2 to 100"),
        ({"folds": 101}, "folds: expected 2 to 100"),
        ({"folds": 5, "validation": 0}, "validation: expected a share"),
        ({"folds": 5, "validation": 0.001}, "choose fewer folds or another share"),
    ],
)
def test_folds_that_cannot_be_dealt(wrong, message):
    with pytest.raises(InputError, match=message):
        fold_by_subject(TABLE, **wrong)
