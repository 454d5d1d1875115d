import numpy as np
import pandas as pd
import pytest
from scipy import stats

from uad_eval import InputError, plots
from uad_eval.method_ranks import method_ranks

DEMSAR = {2: 1.960, 3: 2.343, 4: 2.569, 5: 2.728, 6: 2.850, 7: 2.949, 8: 3.031, 9: 3.102, 10: 3.164}  # his table 5(a)


@pytest.mark.parametrize(("methods", "quantile"), DEMSAR.items())
def test_critical_difference_is_demsars(methods, quantile):
    figures = pd.DataFrame(np.random.default_rng(0).random((14, methods)))
    expected = quantile * np.sqrt(methods * (methods + 1) / (6 * 14))
    assert method_ranks(figures).critical_difference == pytest.approx(expected, rel=1e-3)


def test_ranks_worked_by_hand():
    figures = pd.DataFrame({"a": [3.0, 2, 2], "b": [1.0, 2, 1], "c": [2.0, 1, 0]})
    found = method_ranks(figures)
    assert found.ranks.to_dict() == pytest.approx({"a": 3.5 / 3, "b": 6.5 / 3, "c": 8 / 3})
    assert list(found.ranks.index) == ["a", "b", "c"]
    assert list(method_ranks(figures, higher_is_better=False).ranks.index) == ["c", "b", "a"]
    assert found.friedman_p == pytest.approx(stats.friedmanchisquare(*figures.to_numpy().T).pvalue)
    assert found.groups == (("a", "b", "c"),)


def test_groups_are_runs_within_the_critical_difference():
    rng = np.random.default_rng(0)
    step = np.array([0, 0.6, 1.2, 9])
    found = method_ranks(pd.DataFrame(-step + rng.normal(size=(60, 4)), columns=list("abcd")))
    values, cd = found.ranks, found.critical_difference
    assert ("d",) not in found.groups
    assert all("d" not in group for group in found.groups)
    for one, other in [("a", "b"), ("b", "c"), ("a", "c")]:
        joined = any({one, other} <= set(group) for group in found.groups)
        assert joined == (abs(values[one] - values[other]) < cd)


def test_two_methods_ties_and_bad_input():
    tied = pd.DataFrame({"a": [1.0, 1.0], "b": [1.0, 1.0], "c": [1.0, 1.0]})
    assert method_ranks(tied).friedman_p == 1
    assert np.isnan(method_ranks(tied[["a", "b"]]).friedman_p)
    with pytest.raises(InputError, match="two methods and two people"):
        method_ranks(tied.iloc[:1])
    with pytest.raises(InputError, match="level"):
        method_ranks(tied, level=5)


def test_the_diagram_shows_every_method_and_bar():
    figures = pd.DataFrame(np.random.default_rng(0).random((9, 5)), columns=list("abcde"))
    found = method_ranks(figures)
    panel = plots.critical_difference_plot(found, heading="AP").axes[0]
    assert [label.get_text()[0] for label in panel.get_yticklabels()] == list(found.ranks.index)
    assert sum(line.get_linewidth() == 4 for line in panel.lines) == len(found.groups) >= 1
