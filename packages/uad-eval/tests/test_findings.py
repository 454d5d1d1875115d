import pandas as pd
import pytest

from uad_eval.findings import (
    alone_finding,
    bands_finding,
    collapse_finding,
    growth_finding,
    leave_out_finding,
    order_finding,
    peak_finding,
    transfer_finding,
)


def by(rows):
    return pd.DataFrame(rows, columns=["method", "pathology", "subjects", "value", "low", "high"])


def test_leaving_out():
    table = by(
        [
            ("without a", "all", 5, -0.1, -0.2, -0.05),
            ("without b", "all", 5, 0.01, -0.2, 0.2),
            ("without a", "ms", 3, -0.2, -0.3, -0.1),
            ("without b", "ms", 3, 0.0, -0.1, 0.1),
        ]
    )
    text = leave_out_finding(table)
    assert "**without a**: −0.100 [−0.200, −0.050] against all kinds, a clear difference" in text
    assert "1 of 2 intervals exclude 0" in text
    assert text.endswith("without a, ms: −0.200 [−0.300, −0.100].")
    faint = by([("without b", "cyst", 3, 0.001, 0.0005, 0.002), ("without a", "cyst", 3, -0.004, -0.005, -0.003)])
    text = leave_out_finding(pd.concat([table, faint]))
    assert "3 of 4 intervals exclude 0" in text
    assert text.endswith("without a, ms: −0.200 [−0.300, −0.100]; 2 of less than 0.01.")
    text = leave_out_finding(table[table["method"] == "without b"])
    assert "not a clear difference" in text
    assert "none of 1 intervals excludes 0" in text


def test_alone():
    table = by(
        [
            ("all kinds", "ms", 3, 0.5, 0, 1),
            ("a alone", "ms", 3, 0.6, 0, 1),
            ("b alone", "ms", 3, 0.2, 0, 1),
            ("all kinds", "cyst", 3, 0.5, 0, 1),
            ("a alone", "cyst", 3, 0.1, 0, 1),
            ("b alone", "cyst", 3, 0.4, 0, 1),
            ("a alone", "all", 6, 0.9, 0, 1),
        ]
    )
    text = alone_finding(table, reference="all kinds")
    assert "ms: **a alone**, 0.60" in text
    assert "cyst: **b alone**, 0.40" in text
    assert "in 1 of 2 pathologies; the best of 2" in text


@pytest.mark.parametrize(("low", "verdict"), [(0.05, ", a clear difference"), (-0.05, ", not a clear difference")])
def test_growth(low, verdict):
    table = pd.DataFrame(
        {"x": [50, 2000], "value": [0.3, 0.4], "gain": [0, 0.1], "gain_low": [0, low], "gain_high": [0, 0.2]}
    )
    text = growth_finding(table, "steps")
    assert text.startswith("From 50 to 2,000 steps, average precision goes from 0.300 to 0.400: +0.100 [")
    assert verdict in text


def test_bands():
    columns = ["size", "contrast", "lesions", "people", "value", "low", "high"]
    rows = [
        ("small", "all", 4, 2, 0.25, 0, 1),
        ("large", "all", 6, 2, 0.75, 0, 1),
        ("small", "dark", 1, 2, 0.0, 0, 1),
        ("all", "all", 10, 2, 0.5, 0.25, 0.75),
    ]
    text = bands_finding(pd.DataFrame(rows, columns=columns))
    assert text == "Of 10 lesions of 2 people 50% are found [25%, 75%]. Fewest are found by size in small (25% of 4)."


def test_transfer():
    rows = [
        {"row": "a", "column": "a", "trained": True, "difference": 0.0},
        {"row": "b", "column": "a", "trained": True, "difference": -0.1},
        {"row": "threshold", "column": "a", "trained": False, "difference": -0.3},
    ]
    table = pd.DataFrame(rows).assign(difference_low=-0.2, difference_high=-0.05)
    assert transfer_finding(table) == (
        "On a, training on b in place of a itself changes average precision by −0.100 [−0.200, −0.050], a clear "
        "difference."
    )


def test_the_peak_lies_inside_the_range_or_at_its_end():
    table = pd.DataFrame(
        {
            "x": [2, 8, 512],
            "value": [0.2, 0.4, 0.3],
            "low": [0.1, 0.3, 0.2],
            "high": [0.3, 0.5, 0.4],
            "gain": [-0.2, 0.0, -0.1],
            "gain_low": [-0.3, 0.0, -0.2],
            "gain_high": [-0.1, 0.0, 0.1],
        }
    )
    text = peak_finding(table, "ae")
    assert "**ae**: average precision is highest at 8, 0.400 [0.300, 0.500], inside the range." in text
    assert "At 2 it is 0.200: −0.200 [−0.300, −0.100], a clear difference." in text
    assert "At 512 it is 0.300: −0.100 [−0.200, +0.100], not a clear difference." in text
    text = peak_finding(table.iloc[1:], "ae")
    assert "highest at 8, 0.400 [0.300, 0.500], **at the end of the range**. At 512" in text


def test_units_in_use_of_the_longest_code():
    use = pd.DataFrame({"method": ["plain", "robust", "plain"], "x": [8, 512, 512], "value": [7.0, 90.0, 1.0]})
    assert collapse_finding(use) == "Units in use of a code of 512: **robust** 90; **plain** 1."


def test_orders_beside_a_papers(evaluation):
    shared = {"metric": "dice", "protocol": "lesion_validation"}
    text = order_finding(
        evaluation,
        [("strong", "weak:size=2"), ("weak:size=2", "strong"), ("strong", "strong")],
        published={("toy", "strong"): 0.5, ("toy", "weak:size=2"): 0.3},
        **shared,
    )
    first, second, third = text.splitlines()
    assert first.startswith("- toy, **strong** over weak:size=2: +")
    assert first.endswith("; paper +0.200: reproduced.")
    assert second.endswith("; paper −0.200: **reversed**.")
    assert third.endswith(": not decided.")
