import errno

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from uad_eval import Evaluation, InputError, RunKey, single_figures
from uad_eval.results import SCHEMAS, read_table, table, validate_results, write_table

KEY = RunKey(cohort="toy", method="ae")


def test_an_evaluation_comes_back_from_disk_as_it_was(evaluation, tmp_path):
    evaluation.write(tmp_path / "new")
    back = Evaluation.read(tmp_path / "new")
    for name in SCHEMAS:
        assert_frame_equal(getattr(back, name), getattr(evaluation, name))
    assert_frame_equal(read_table("results", tmp_path / "new" / "results.csv"), evaluation.results)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "curves.parquet",
        "draws.parquet",
        "results.csv",
        "results.parquet",
        "samples.parquet",
    ]


def test_names_that_look_like_numbers_or_nothing_stay_text(tmp_path):
    rows = table("results", [{"subject": "007", "cohort": "NA", "metric": "m", "seed": 0, "aggregation": "subject"}])
    write_table(rows, tmp_path / "r.csv")
    back = read_table("results", tmp_path / "r.csv")
    assert (back["subject"].item(), back["cohort"].item()) == ("007", "NA")


def test_select_keeps_one_run_in_all_tables(evaluation):
    one = evaluation.select(method="strong", seed=1)
    assert set(one.results["seed"]) == set(one.draws["seed"]) == set(one.samples["seed"]) == {1}
    assert set(one.curves["method"]) == {"strong"}


def test_single_figures():
    results = single_figures(KEY, {"seconds": (3.5, "s")}).results
    assert results[["metric", "value", "unit", "aggregation"]].iloc[0].tolist() == ["seconds", 3.5, "s", "pooled"]


def test_the_same_figure_twice_is_refused():
    once = single_figures(KEY, {"seconds": (3.5, "s")})
    with pytest.raises(InputError, match="1 figures occur twice, the first is cohort toy, method ae"):
        Evaluation.concat([once, once])


@pytest.mark.parametrize(("column", "value"), [("protocol", "best"), ("aggregation", "median")])
def test_unknown_protocols_and_aggregations_are_refused(column, value):
    rows = single_figures(KEY, {"seconds": (3.5, "s")}).results.assign(**{column: value})
    with pytest.raises(InputError, match=f"column {column}: .*{value}"):
        validate_results(rows)


def test_a_file_that_is_missing_cut_short_or_another_table_is_refused(evaluation, tmp_path):
    path = tmp_path / "results.parquet"
    with pytest.raises(InputError, match="no such file"):
        read_table("results", path)
    write_table(evaluation.results, path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match="cut short"):
        read_table("results", path)
    write_table(evaluation.curves, path)
    with pytest.raises(InputError, match="lacks the columns subject"):
        read_table("results", path)
    path.with_suffix(".csv").write_text("")
    with pytest.raises(InputError, match="cut short"):
        read_table("results", path.with_suffix(".csv"))


def test_a_full_disk_leaves_the_old_file_and_no_remains(evaluation, tmp_path, monkeypatch):
    path = tmp_path / "results.csv"
    path.write_text("old")

    def full(self, target, **_):
        target.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", full)
    with pytest.raises(InputError, match=r"No space left on device.*make room"):
        write_table(evaluation.results, path)
    assert [p.name for p in tmp_path.iterdir()] == ["results.csv"]
    assert path.read_text() == "old"


def test_an_unknown_ending_is_refused(evaluation, tmp_path):
    with pytest.raises(InputError, match=r"\.csv or \.parquet"):
        write_table(evaluation.results, tmp_path / "results.xlsx")
