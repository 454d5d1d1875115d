import numpy as np
import pytest

from uad_eval import InputError, over_seeds, paired_difference
from uad_eval.ablation import ablation_finding, ablation_table


def test_each_step_is_set_against_the_one_before(evaluation):
    steps = ["<baseline>", "weak:size=2", "strong"]
    table = ablation_table(evaluation, steps)
    assert table["method"].to_list() == steps
    last = table.iloc[2]
    expected = over_seeds(evaluation, "strong", metric="average_precision")
    assert (last["value"], last["low"], last["high"]) == pytest.approx(expected)
    gain = paired_difference(evaluation, "strong", "weak:size=2", metric="average_precision")
    assert (last["gain"], last["gain_low"], last["gain_high"]) == pytest.approx(gain)
    assert np.isnan(table.iloc[0]["gain"])
    with pytest.raises(InputError, match="at least one"):
        ablation_table(evaluation, [])


def test_the_sentence_calls_clear_what_is(evaluation):
    up = ablation_finding(ablation_table(evaluation, ["<baseline>", "strong"]))
    assert "Every step gains: **strong** +" in up
    assert up.endswith(", clear.")
    down = ablation_finding(ablation_table(evaluation, ["strong", "<baseline>"]))
    assert "Not every step gains: **<baseline>** −" in down
