import pytest

from uad_eval import over_seeds, paired_difference
from uad_eval.growth import growth_table


def test_rows_rise_with_the_quantity_and_gain_over_the_first(evaluation):
    table = growth_table(evaluation, {"strong": 100.0, "weak:size=2": 10.0})
    assert table["x"].to_list() == [10.0, 100.0]
    strong = table.iloc[1]
    expected = over_seeds(evaluation, "strong", metric="average_precision")
    assert (strong["value"], strong["low"], strong["high"]) == pytest.approx(expected)
    gain = paired_difference(evaluation, "strong", "weak:size=2", metric="average_precision")
    assert (strong["gain"], strong["gain_low"], strong["gain_high"]) == pytest.approx(gain)
    assert table.iloc[0]["gain"] == 0


def test_gains_over_the_best(evaluation):
    table = growth_table(evaluation, {"strong": 100.0, "weak:size=2": 10.0}, against="best")
    lost = paired_difference(evaluation, "weak:size=2", "strong", metric="average_precision")
    assert (table["gain"][0], table["gain_low"][0], table["gain_high"][0]) == pytest.approx(lost)
    assert table["gain"].to_list()[1] == 0
