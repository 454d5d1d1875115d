import numpy as np
import pandas as pd
import pytest

from uad_eval import Evaluation, InputError, by_pathology, label_cost, leaderboard, over_seeds, paired_difference
from uad_eval.protocols import MASK_PROTOCOLS
from uad_eval.tables import COLUMNS, clear_best


@pytest.fixture(scope="module")
def board(evaluation):
    return leaderboard(evaluation, baselines=["<baseline>"])


def test_ranked_with_every_column(evaluation, board):
    assert board["method"].tolist() == ["strong", "weak:size=2", "<baseline>"]
    assert board["rank"].tolist() == [1, 2, 3]
    assert board["seeds"].tolist() == [2, 1, 1]
    assert board["baseline"].tolist() == [False, False, True]
    assert set(board["subjects"]) == {6}
    of_slices = [column.name for column in COLUMNS if column.name != "lesion_f1"]
    assert board[of_slices].notna().all(axis=None)
    assert board["lesion_f1"].isna().all()
    assert board["average_precision"].is_monotonic_decreasing
    expected = over_seeds(evaluation, "strong", metric="dice", protocol="healthy_validation")
    found = board.loc[0, ["dice_healthy_validation", "dice_healthy_validation_low", "dice_healthy_validation_high"]]
    assert tuple(found) == expected
    assert board.loc[0, "false_positive_rate"] == 0.02


def test_difference_from_the_best(evaluation, board):
    expected = paired_difference(evaluation, "weak:size=2", "strong", metric="average_precision")
    assert tuple(board.loc[1, ["difference", "difference_low", "difference_high"]]) == expected
    assert np.isnan(board.loc[0, "difference"])


def test_other_ranking_aggregation_and_protocol(evaluation):
    board = leaderboard(evaluation, metric="iou", aggregation="mean", protocol="healthy_validation")
    expected = over_seeds(evaluation, "strong", metric="iou", protocol="healthy_validation", aggregation="mean")
    assert board.set_index("method").loc["strong", "iou"] == expected.value
    assert board["iou"].is_monotonic_decreasing
    assert board["slice_auroc"].notna().all()  # no subject has one of its own: pooled


def test_a_method_without_the_figure_comes_last(evaluation):
    results = evaluation.results
    dropped = results[~((results["method"] == "strong") & (results["metric"] == "auroc"))]
    board = leaderboard(Evaluation.of(results=dropped, draws=evaluation.draws), metric="auroc")
    assert board["method"].iloc[-1] == "strong"


@pytest.mark.parametrize(
    ("low", "high", "best"),
    [
        ([0.7, 0.3, 0.2], [0.9, 0.6, 0.4], "a"),
        ([0.5, 0.3, 0.2], [0.9, 0.6, 0.4], None),  # touches the runner-up
        ([0.7, 0.3, 0.1], [0.9, 0.6, 0.8], None),  # touches the third
        ([0.7, np.nan, 0.2], [0.9, np.nan, 0.4], None),
    ],
)
def test_best_only_where_intervals_are_apart(low, high, best):
    board = pd.DataFrame({"method": ["a", "b", "c"], "auroc": [0.8, 0.5, 0.3], "auroc_low": low, "auroc_high": high})
    assert clear_best(board, "auroc") == best
    assert clear_best(board[:1], "auroc") is None


def test_cohorts_and_scopes_are_not_mixed(evaluation):
    for column in ("cohort", "scope"):
        mixed = evaluation.results.assign(**{column: ["x", "y"] * (len(evaluation.results) // 2)})
        with pytest.raises(InputError, match=f"one {column}, found .*x.*y"):
            leaderboard(Evaluation.of(results=mixed, draws=evaluation.draws))
    with pytest.raises(InputError, match="metric 'AP': expected one of average_precision"):
        leaderboard(evaluation, metric="AP")


def test_by_pathology_averages_subjects_over_seeds(evaluation):
    found = by_pathology(evaluation.results).set_index(["method", "pathology"])
    r = evaluation.results
    own = r[(r["method"] == "strong") & (r["metric"] == "average_precision") & r["subject"].isin(["sub-2", "sub-3"])]
    row = found.loc[("strong", "stroke")]
    assert row["value"] == pytest.approx(own["value"].mean())
    assert row["subjects"] == 2
    assert row["low"] < row["value"] < row["high"]
    assert "none" not in found.index.get_level_values("pathology")  # no lesion, no average precision


def test_one_subject_of_a_pathology_has_no_interval(evaluation):
    found = by_pathology(evaluation.results, metric="specificity", protocol="lesion_validation")
    assert found.loc[found["pathology"] == "none", "low"].isna().all()
    assert found.loc[found["pathology"] == "none", "value"].notna().all()


def test_label_cost_sets_each_dice_beside_the_oracle(evaluation):
    table = label_cost(evaluation, order=["weak:size=2", "strong"])
    assert list(dict.fromkeys(table["method"])) == ["weak:size=2", "strong"]
    assert set(table["protocol"]) == set(MASK_PROTOCOLS)
    one = table[(table["method"] == "strong") & (table["protocol"] == "healthy_volume")].iloc[0]
    dice, best = (
        over_seeds(evaluation, "strong", metric=metric, protocol=protocol)
        for metric, protocol in (("dice", "healthy_volume"), ("best_dice", "oracle"))
    )
    assert one["dice"] == dice.value
    assert one["difference"] == pytest.approx(dice.value - best.value)
    assert one["difference_low"] <= one["difference"] <= one["difference_high"]
    volume = over_seeds(evaluation, "strong", metric="false_positive_volume", protocol="healthy_volume")
    assert one["false_positive_ml"] == volume.value
    assert one["ratio"] == pytest.approx(volume.value / 0.01)
    assert table.loc[table["protocol"] != "healthy_volume", "stated_ml"].isna().all()
    assert table.loc[table["protocol"] == "lesion_validation", "false_positive_ml"].isna().all()
