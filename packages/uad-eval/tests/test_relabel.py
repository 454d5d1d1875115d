import pytest

from uad_eval import InputError
from uad_eval.relabel import relabel


def test_methods_are_kept_under_their_new_names(evaluation):
    changed = relabel(evaluation, {"strong": "a", "<baseline>": "b"}, cohort="other")
    assert set(changed.results["method"]) == set(changed.draws["method"]) == {"a", "b"}
    assert set(changed.curves["cohort"]) == {"other"}
    before = evaluation.results[evaluation.results["method"] == "strong"]["value"].to_list()
    assert changed.results[changed.results["method"] == "a"]["value"].to_list() == pytest.approx(before, nan_ok=True)


def test_names_that_cannot_be_given(evaluation):
    with pytest.raises(InputError, match="method 'none': expected one of <baseline>, strong"):
        relabel(evaluation, {"none": "a"})
    with pytest.raises(InputError, match="expected each once, found a, a"):
        relabel(evaluation, {"strong": "a", "<baseline>": "a"})
