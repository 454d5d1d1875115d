"""The thesis's protocols of slices, against cases worked by hand."""

import numpy as np
import pandas as pd
import pytest

from uad_eval.errors import InputError
from uad_eval.plots import png, sample_curves
from uad_eval.results import RunKey
from uad_eval.sample_protocols import (
    balance_curve,
    clinical_labels,
    combined_finding,
    pathology_figures,
    sample_figures,
)
from uad_eval.thesis_tables import THESIS2020, THESIS2020_PATHOLOGIES, thesis_pathologies, thesis_table

# Two healthy people, two with a lesion in one of their two slices each.
PEOPLE = np.repeat(["a", "b", "c", "d"], 2)
LESION = np.array([0, 0, 0, 0, 1, 0, 1, 0], bool)
SCORE = np.array([0.1, 0.2, 0.3, 0.4, 0.9, 0.25, 0.35, 0.15])
KEY = RunKey(cohort="x", method="multitask:poses=given")


def test_every_slice_of_an_anomalous_scan_is_positive_in_the_clinic():
    np.testing.assert_array_equal(clinical_labels(LESION, PEOPLE), [0, 0, 0, 0, 1, 1, 1, 1])
    np.testing.assert_array_equal(clinical_labels(LESION, np.arange(8)), LESION)


def test_auroc_and_aupr_by_protocol_are_those_worked_by_hand():
    found = sample_figures({"combined": SCORE}, LESION, PEOPLE, key=KEY, draws=20).set_index("protocol")
    assert found.loc["slice", ["positives", "negatives"]].tolist() == [2, 6]
    assert found.loc["clinical", ["positives", "negatives"]].tolist() == [4, 4]
    assert found.loc["scan", ["positives", "negatives"]].tolist() == [2, 2]
    # 0.9 beats six of six healthy slices, 0.35 five of six.
    assert found.loc["slice", "auroc"] == pytest.approx(11 / 12)
    # Ranks 1 and 3 of the two lesions: precision 1 and 2/3.
    assert found.loc["slice", "aupr"] == pytest.approx((1 + 2 / 3) / 2)
    # Of 16 pairs: 0.9 wins four, 0.25 two, 0.35 three, 0.15 one.
    assert found.loc["clinical", "auroc"] == pytest.approx(10 / 16)
    # Root mean squares: a 0.158, b 0.354, c 0.661, d 0.269.
    assert found.loc["scan", "auroc"] == pytest.approx(3 / 4)
    assert (found["auroc_low"] <= found["auroc"]).all()


def test_each_pathology_meets_all_slices_without_a_lesion():
    kinds = np.repeat(["healthy", "healthy", "bleed", "ischaemia"], 2)
    found = pathology_figures({"combined": SCORE}, LESION, kinds).set_index("pathology")
    assert found["slices"].tolist() == [1, 1]
    assert found.loc["bleed", "auroc"] == 1
    assert found.loc["ischaemia", "auroc"] == pytest.approx(5 / 6)
    with pytest.raises(InputError, match="found none"):
        pathology_figures({"x": SCORE}, np.ones(8, bool), kinds)
    table = thesis_pathologies(found.reset_index().assign(method="multitask", seed=0)).set_index("pathology")
    assert table.loc["bleed", ["slices", "multitask", "multitask, thesis"]].tolist() == ["1", "1.000", "0.956"]


def test_the_balance_goes_from_one_part_to_the_other():
    curve = balance_curve(SCORE, -SCORE, LESION, points=3)
    assert curve["balance"].tolist() == [0, 0.5, 1]
    assert curve["auroc"].tolist() == pytest.approx([11 / 12, 0.5, 1 / 12])


def test_tables_hold_the_published_figure_beside_its_method():
    found = sample_figures({"combined": SCORE, "classification": -SCORE}, LESION, PEOPLE, key=KEY, draws=20)
    table = thesis_table(found, "auroc").set_index("score")
    assert table.loc["combined", "clinical slices, thesis"] == "0.822"
    assert table.loc["classification", "clinical slices, thesis"] == "–"
    assert table.loc["combined", "AUROC, slices"].startswith("0.917 [")
    twice = pd.concat([found, found.assign(seed=1, aupr=found["aupr"] - 0.1)])
    own = thesis_table(twice, "aupr").set_index("score").loc["combined"]
    assert own["AUPR, slices"] == "0.783 ± 0.071"
    assert own["slices, chance"] == "0.250"


def test_the_finding_names_the_better_part():
    found = sample_figures(
        {"combined": SCORE, "classification": -SCORE, "reconstruction": SCORE}, LESION, PEOPLE, key=KEY, draws=20
    )
    assert "at least as well as its better part, reconstruction (0.625)" in combined_finding(found)
    found.loc[found["score"] == "combined", "auroc"] = 0.3
    assert "**worse than**" in combined_finding(found, protocol="slice")
    with pytest.raises(InputError, match="found none; add multitask to the methods"):
        combined_finding(found.iloc[:0])


def test_the_published_tables_are_whole():
    assert len(THESIS2020) == 5
    assert THESIS2020_PATHOLOGIES.shape == (7, 3)
    assert THESIS2020.loc["multitask", "aupr_clinical"] == THESIS2020["aupr_clinical"].max() == 0.868


def test_curves_are_drawn():
    assert png(sample_curves({"one": SCORE, "other": -SCORE}, LESION))
