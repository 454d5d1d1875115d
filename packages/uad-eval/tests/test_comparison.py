import numpy as np
import pytest

from uad_eval import Evaluation, InputError, over_seeds, paired_difference


def test_one_seed_gives_the_run_itself(evaluation):
    r = evaluation.results
    row = r[(r["method"] == "weak:size=2") & (r["metric"] == "auroc") & (r["subject"] == "mean")].iloc[0]
    found = over_seeds(evaluation, "weak:size=2", metric="auroc", aggregation="mean")
    assert found == (row["value"], row["low"], row["high"])


def test_seeds_are_averaged_and_widen_the_interval(evaluation):
    r = evaluation.results
    rows = r[(r["method"] == "strong") & (r["metric"] == "average_precision") & (r["subject"] == "pooled")]
    found = over_seeds(evaluation, "strong", metric="average_precision")
    assert found.value == pytest.approx(rows["value"].mean())
    assert found.low < rows["value"].min()
    assert found.low < found.value < found.high


def test_a_figure_that_a_method_lacks_is_undefined(evaluation):
    assert np.isnan(over_seeds(evaluation, "strong", metric="none")).all()
    seconds = over_seeds(evaluation, "strong", metric="seconds")
    assert seconds.value == 12.5
    assert np.isnan(seconds.low)


def test_paired_difference_is_known_better_than_either_figure(run):
    pair = Evaluation.concat([run("a", strength=2.0), run("b", strength=2.3)])
    a, b = (over_seeds(pair, name, metric="average_precision") for name in "ab")
    difference = paired_difference(pair, "b", "a", metric="average_precision")
    assert difference.value == pytest.approx(b.value - a.value)
    assert difference.high - difference.low < 0.7 * max(a.high - a.low, b.high - b.low)
    assert paired_difference(pair, "a", "a", metric="average_precision") == (0, 0, 0)


def test_other_subjects_or_other_draws_are_refused(run):
    full, fewer = run("a", strength=2.0), run("b", strength=2.0)
    cut = fewer.results[fewer.results["subject"] != "sub-3"]
    lacking = Evaluation.of(results=cut, draws=fewer.draws)
    with pytest.raises(InputError, match=r"b \(seed 0\) lacks 1 of 6 subjects, the first is sub-3"):
        paired_difference(Evaluation.concat([full, lacking]), "a", "b", metric="auroc")
    with pytest.raises(InputError, match="a has 200 bootstrap draws of auroc, c has 50"):
        paired_difference(Evaluation.concat([full, run("c", strength=2.0, draws=50)]), "a", "c", metric="auroc")
