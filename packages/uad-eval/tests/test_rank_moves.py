import numpy as np
import pandas as pd
import pytest

from uad_eval import InputError, plots
from uad_eval.rank_moves import LESION_ROWS_AP, POOLED_AP, rank_finding, rank_table, two_views


@pytest.fixture
def judged():
    """Three methods, two pipelines and two protocols; two seeds of the first method."""
    figures = {
        ("p", POOLED_AP): {"a": (0.8, 0.6), "b": (0.5,), "c": (0.1,)},
        ("p", LESION_ROWS_AP): {"a": (0.9, 0.9), "b": (0.9,), "c": (0.1,)},
        ("none (q)", POOLED_AP): {"a": (0.1, 0.1), "b": (0.5,), "c": (0.3,)},
        ("none (q)", LESION_ROWS_AP): {"a": (0.0, 0.0), "b": (0.0,), "c": (0.0,)},
    }
    return pd.DataFrame(
        [
            {"method": method, "seed": seed, "pipeline": pipeline, "protocol": protocol, "value": value}
            for (pipeline, protocol), methods in figures.items()
            for method, values in methods.items()
            for seed, value in enumerate(values)
        ]
    )


def test_ranks_are_of_the_mean_over_seeds_and_equals_share_the_better(judged):
    ranks = rank_table(judged).set_index(["pipeline", "protocol", "method"]).sort_index()
    assert ranks.loc[("p", POOLED_AP, "a"), "value"] == pytest.approx(0.7)
    assert list(ranks.loc[("p", POOLED_AP), "rank"]) == [1, 2, 3]
    assert list(ranks.loc[("p", LESION_ROWS_AP), "rank"]) == [1, 1, 3]
    assert list(ranks.loc[("none (q)", POOLED_AP), "rank"]) == [3, 1, 2]
    assert ranks.loc[("none (q)", LESION_ROWS_AP), "rank"].isna().all()  # all are equal: there is no order


def test_the_finding_names_who_leads_and_who_moves_most(judged):
    text = rank_finding(rank_table(judged))
    assert "**a** leads in 2 of 3 ways" in text or "**b** leads in 2 of 3 ways" in text
    assert "**a** moves most: 2 places, from 1 to 3 of 3" in text
    still = judged[judged["pipeline"] == "p"].assign(value=judged["method"].map({"a": 3.0, "b": 2.0, "c": 1.0}))
    assert rank_finding(rank_table(still)) == (
        "**a** leads in 2 of 2 ways to judge the same maps. No method changes its place."
    )
    assert rank_finding(rank_table(judged[judged["method"] == "a"])) == "Ranks need two methods or more."


def test_the_two_views_and_their_figure(judged):
    ranks = rank_table(judged)
    by_pipeline, by_protocol = two_views(ranks, "q").values()
    assert list(by_pipeline["way"].unique()) == ["p", "none (q)"]
    assert set(by_pipeline["protocol"]) == {POOLED_AP}
    assert set(by_protocol["pipeline"]) == {"none (q)"}
    assert set(by_protocol["way"]) == {"AP, pooled", "AP, with lesion only"}
    figure = plots.rank_tables(two_views(ranks, "q"), order=["c", "a", "b"])
    above, below = figure.axes
    assert [label.get_text() for label in above.get_yticklabels()] == ["c", "a", "b"]
    assert sorted(text.get_text() for text in above.texts if "." not in text.get_text()) == sorted("112233")
    assert len(below.texts) == 6  # three ranks with their figures; nothing where there is no order
    assert plots.png(figure)
    with pytest.raises(InputError, match="one view or more"):
        plots.rank_tables({})


def test_a_missing_column_and_a_missing_value(judged):
    with pytest.raises(InputError, match="none named 'pipeline'"):
        rank_table(judged.drop(columns="pipeline"))
    judged.loc[judged["method"] == "c", "value"] = np.nan
    ranks = rank_table(judged)
    assert ranks.loc[ranks["method"] == "c", "rank"].isna().all()
    assert "of 2" in rank_finding(ranks)
