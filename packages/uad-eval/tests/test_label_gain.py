import numpy as np
import pandas as pd
import pytest

from uad_eval.bootstrap import interval
from uad_eval.errors import InputError
from uad_eval.findings import label_gain_finding
from uad_eval.label_gain import label_curve, label_gain
from uad_eval.results import Evaluation

OURS, THEIRS = {0.0: "map", 1.0: "pre 1", 4.0: "pre 4"}, {1.0: "new 1", 4.0: "new 4"}
FIGURE = {"metric": "average_precision"}


@pytest.fixture
def evaluation(run):
    strengths = {"map": 0.5, "pre 1": 2.0, "new 1": 0.5, "pre 4": 2.0, "new 4": 2.0}
    return Evaluation.concat(
        [run(name, strength=strength, seed=seed) for name, strength in strengths.items() for seed in (0, 1)]
    )


def test_a_curve_has_a_band_over_seeds(evaluation):
    table = label_curve(evaluation, OURS, **FIGURE)
    assert table["x"].tolist() == [0, 1, 4]
    own = evaluation.results.query("method == 'pre 1' and metric == 'average_precision' and aggregation == 'pooled'")
    row = table.set_index("x").loc[1]
    assert row["value"] == pytest.approx(own["value"].mean())
    assert row["high"] - row["low"] == pytest.approx(2 * own["value"].std())
    single = label_curve(evaluation.select(seed=0), OURS, **FIGURE)
    assert (single["low"] == single["value"]).all()
    assert label_curve(evaluation, OURS, metric="class_dice", aggregation="mean").empty


def test_a_gain_is_paired_and_told_from_none(evaluation):
    table = label_gain(evaluation, OURS, THEIRS, **FIGURE).set_index("x")
    assert table.index.tolist() == [1, 4]
    assert table.loc[1, "low"] > 0
    assert table.loc[1, "p"] < 0.05
    # At 4 both are the same maps under the same seeds: no draw differs.
    assert table.loc[4, ["value", "low", "high"]].tolist() == [0, 0, 0]
    assert table.loc[4, "p"] == 1
    text = label_gain_finding(table.reset_index(), "AP")
    assert "1: +" in text
    assert text.count("not a clear difference") == 1


def test_with_one_seed_only_people_are_drawn(evaluation):
    one = evaluation.select(seed=0)
    pooled = one.draws[(one.draws["metric"] == "average_precision") & (one.draws["aggregation"] == "pooled")]
    drawn = pooled.set_index("method")["draws"]
    found = label_gain(one, OURS, THEIRS, **FIGURE).iloc[0]
    expected = interval(np.asarray(drawn["pre 1"]) - np.asarray(drawn["new 1"]), subjects=6)
    assert [found["low"], found["high"]] == pytest.approx(expected)


def test_other_seeds_are_refused(evaluation):
    results, draws = (
        frame[(frame["method"] != "new 1") | (frame["seed"] == 0)] for frame in (evaluation.results, evaluation.draws)
    )
    fewer = Evaluation.of(results=results, draws=pd.DataFrame(draws))
    with pytest.raises(InputError, match=r"pre 1 has average_precision of the seeds \[0, 1\], new 1 of \[0\]"):
        label_gain(fewer, OURS, THEIRS, **FIGURE)
