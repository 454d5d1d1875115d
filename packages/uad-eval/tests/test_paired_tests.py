import numpy as np
import pandas as pd
import pytest
from scipy import stats

from uad_eval import Evaluation, InputError
from uad_eval.paired_tests import holm, paired_tests, subject_figures


def test_holm_worked_by_hand():
    # Sorted 0.01, 0.02, 0.03, 0.04 times 4, 3, 2, 1 is 0.04, 0.06, 0.06, 0.04; never below the one before.
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.9, np.nan, 0.5]) == pytest.approx([1, np.nan, 1], nan_ok=True)
    assert holm([]).size == 0


def test_figures_are_means_over_seeds_of_people_with_a_lesion(evaluation):
    figures = subject_figures(evaluation.results, metric="average_precision")
    assert list(figures.columns) == ["strong", "weak:size=2", "<baseline>"]
    assert list(figures.index) == [f"sub-{i}" for i in range(5)]
    r = evaluation.results
    own = r[(r["method"] == "strong") & (r["metric"] == "average_precision") & (r["subject"] == "sub-2")]
    assert figures.loc["sub-2", "strong"] == pytest.approx(own["value"].mean())
    with pytest.raises(InputError, match="has none"):
        subject_figures(r, metric="no_such")


def test_other_people_are_refused(run):
    full, fewer = run("a", strength=2.0), run("b", strength=2.0)
    cut = Evaluation.of(results=fewer.results[fewer.results["subject"] != "sub-3"])
    with pytest.raises(InputError, match="lacks 1 of 6"):
        subject_figures(Evaluation.concat([full, cut]).results, metric="auroc")


def test_every_pair_is_tested():
    rng = np.random.default_rng(0)
    person = rng.normal(size=12)
    figures = pd.DataFrame({"a": person + 1, "b": person + 0.01 * rng.normal(size=12), "c": person})
    tests = paired_tests(figures)
    assert list(zip(tests["method"], tests["other"], strict=True)) == [("a", "b"), ("a", "c"), ("b", "c")]
    assert tests["wins"].tolist()[:2] == [1, 1]
    assert tests["p"].iloc[0] == pytest.approx(stats.wilcoxon(figures["a"] - figures["b"]).pvalue)
    assert tests["p_holm"].tolist() == pytest.approx(holm(tests["p"]))
    exact = paired_tests(figures, test="permutation")
    assert exact["p"].iloc[1] == pytest.approx(2 / 2**12)  # all signs alike, of 2^12 ways
    with pytest.raises(InputError, match="'wilcoxon' or 'permutation'"):
        paired_tests(figures, test="t")


def test_equal_methods_and_too_few_people():
    same = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [1.0, 2.0, 3.0]})
    row = paired_tests(same).iloc[0]
    assert (row["p"], row["p_holm"], row["wins"], row["difference"]) == (1, 1, 0.5, 0)
    assert np.isnan(paired_tests(same.iloc[:1])["p_holm"].iloc[0])


@pytest.mark.parametrize("test", ["wilcoxon", "permutation"])
def test_the_error_rate_over_all_pairs_is_kept(test):
    """Four methods that are alike but for noise: some pair is called different in 5 of 100 studies or fewer."""
    rng = np.random.default_rng(3)
    studies = 300 if test == "wilcoxon" else 40
    people = 20 if test == "wilcoxon" else 9
    wrong = 0
    for _ in range(studies):
        figures = pd.DataFrame(rng.normal(size=(people, 1)) + rng.gumbel(size=(people, 4)), columns=list("abcd"))
        wrong += (paired_tests(figures, test=test)["p_holm"] <= 0.05).any()
    assert wrong <= stats.binom.ppf(0.999, studies, 0.05)
