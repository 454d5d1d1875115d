import numpy as np
import pandas as pd
import pytest

from uad_eval import InputError
from uad_eval.variance_components import variance_components


def results(values, method="m"):
    """A table of results from figures (people, seeds)."""
    rows = [
        {"method": method, "subject": f"s{i}", "seed": j, "value": value}
        for i, row in enumerate(values)
        for j, value in enumerate(row)
    ]
    return pd.DataFrame(rows).assign(metric="dice", protocol="", aggregation="subject")


def test_known_components_are_found():
    rng = np.random.default_rng(0)
    found = []
    for _ in range(200):
        values = 0.5 + rng.normal(0, 0.2, (40, 1)) + rng.normal(0, 0.1, (1, 6)) + rng.normal(0, 0.05, (40, 6))
        found.append(variance_components(results(values), metric="dice").iloc[0])
    squares = pd.DataFrame(found)[["person_sd", "seed_sd", "rest_sd"]].astype(float).pow(2).mean()
    assert squares.tolist() == pytest.approx([0.04, 0.01, 0.0025], rel=0.1)
    spread = np.std([row["mean"] for row in found])
    assert np.sqrt(np.mean([row["mean_se"] ** 2 for row in found])) == pytest.approx(spread, rel=0.15)


def test_the_test_of_seeds_keeps_its_error_rate_and_sees_an_effect():
    rng = np.random.default_rng(1)
    none = [
        variance_components(results(rng.normal(size=(15, 1)) + rng.normal(size=(15, 3))), metric="dice")["seed_p"][0]
        for _ in range(300)
    ]
    assert 0.02 <= np.mean(np.array(none) <= 0.05) <= 0.09
    values = rng.normal(np.arange(3), 0.01, (15, 3))
    assert variance_components(results(values), metric="dice")["seed_p"][0] < 1e-6


def test_one_seed_one_person_and_people_without_a_figure():
    one = variance_components(results([[0.2], [0.4]]), metric="dice").iloc[0]
    assert (one["mean"], one["seeds"]) == (pytest.approx(0.3), 1)
    assert np.isnan(one["seed_sd"])
    values = [[0.2, 0.3], [0.4, 0.6], [np.nan, 0.9]]
    assert variance_components(results(values), metric="dice")["people"][0] == 2
    same = variance_components(results([[0.2, 0.2], [0.4, 0.4]]), metric="dice").iloc[0]
    assert (same["seed_sd"], same["rest_sd"]) == (0, 0)
    assert np.isnan(same["seed_p"])
    with pytest.raises(InputError, match="found none"):
        variance_components(results(values), metric="iou")
