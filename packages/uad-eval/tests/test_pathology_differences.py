import numpy as np
import pandas as pd
import pytest

from uad_eval import InputError
from uad_eval.pathology_differences import ALL, differences_by_pathology, with_all

VALUES = {  # seed 0 and 1 of each person
    ("base", "a", "ms"): (0.2, 0.4),
    ("base", "b", "ms"): (0.5, 0.5),
    ("base", "c", "tumour"): (0.8, 0.8),
    ("other", "a", "ms"): (0.5, 0.5),
    ("other", "b", "ms"): (0.4, 0.4),
    ("other", "c", "tumour"): (0.6, 0.8),
}


@pytest.fixture
def results():
    return pd.DataFrame(
        [
            {"method": m, "subject": s, "pathology": p, "seed": seed, "value": value}
            | {"aggregation": "subject", "metric": "average_precision", "protocol": ""}
            for (m, s, p), values in VALUES.items()
            for seed, value in enumerate(values)
        ]
    )


def test_differences_are_of_the_same_person(results):
    table = differences_by_pathology(results, "base").set_index("pathology")
    assert set(table["method"]) == {"other"}
    assert table["value"].to_dict() == pytest.approx({"ms": 0.05, "tumour": -0.1, ALL: 0.0})
    assert table["subjects"].to_dict() == {"ms": 2, "tumour": 1, ALL: 3}
    assert table.loc["ms", "low"] == pytest.approx(-0.1)
    assert np.isnan(table.loc["tumour", "low"])


def test_all_people_together(results):
    pooled = results.assign(aggregation="pooled")
    doubled = with_all(pd.concat([results, pooled]))
    assert len(doubled) == 2 * len(results)
    assert (doubled["pathology"] == ALL).sum() == len(results)


def test_unknown_reference(results):
    with pytest.raises(InputError, match="reference 'none': expected one of base, other"):
        differences_by_pathology(results, "none")
