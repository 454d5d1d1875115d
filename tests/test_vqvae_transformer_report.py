"""The study of vqvae_transformer: variants of one training's map, its codebook, its healings; and its page."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from uad_eval.comparison import over_seeds
from uad_eval.errors import InputError
from uad_eval.experiment import (
    Experiment,
    ExperimentSettings,
    MethodSpec,
    case_arrays,
    choose_cases,
    codebook_use,
    healing_ablation,
    healing_steps,
    run_experiment,
    run_map_variants,
)
from uad_eval.report import run_report

SMALL = "steps=4,channels=8+8,codes=8,code_dim=4"
METHOD = MethodSpec.parse(f"vqvae_transformer:{SMALL},width=8,depth=1,heads=1,samples=2,healthy_quantile=0.3")
NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "vqvae_transformer.ipynb"


@pytest.fixture(scope="session")
def experiment(small_table: Path, tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """A finished experiment."""
    folder = tmp_path_factory.mktemp("codes")
    settings = ExperimentSettings(
        cohort=str(small_table),
        methods=(MethodSpec.parse("intensity"), METHOD),
        size=(32, 32),
        output=folder / "out",
        cache=folder / "cache",
        workers=1,
        accelerator="cpu",
    )
    return run_experiment(settings, progress=False)


def test_variants_of_the_map_are_scored_with_the_same_weights(experiment: Experiment) -> None:
    steps = healing_ablation(experiment, METHOD) | {"same map": {"score_of": "sequence"}}
    found = run_map_variants(experiment, METHOD, steps)
    figures = {name: over_seeds(found, name, metric="average_precision") for name in steps}
    whole = over_seeds(experiment.evaluation, str(METHOD), metric="average_precision")
    assert figures["+ ensemble"] == whole
    np.testing.assert_allclose(figures["same map"], whole)
    assert len({round(figure.value, 6) for figure in figures.values()}) == len(steps) - 1
    again = run_map_variants(experiment, METHOD, steps)
    pd.testing.assert_frame_equal(again.results, found.results)


@pytest.mark.parametrize(
    ("method", "settings", "message"),
    [
        (METHOD, {"steps": "5"}, "steps: expected settings of the map"),
        (METHOD, {"codes": "4"}, "leave the weights as they are"),
        (MethodSpec("ae"), {"residual": "l2"}, "method 'ae': expected one of"),
    ],
)
def test_variants_that_are_no_other_map(
    experiment: Experiment, method: MethodSpec, settings: dict[str, str], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        run_map_variants(experiment, method, {"other": settings})


def test_variants_have_no_folds(experiment: Experiment) -> None:
    folded = replace(experiment, settings=replace(experiment.settings, folds=2))
    with pytest.raises(InputError, match="set folds to 0"):
        run_map_variants(folded, METHOD, {})


def test_the_use_of_the_codebook_is_counted(experiment: Experiment) -> None:
    use = codebook_use(experiment, str(METHOD))
    assert sorted(use["code"]) == list(range(8))
    assert use["share"].sum() == pytest.approx(1)
    assert use["share"].is_monotonic_decreasing
    for wrong in ("intensity", "vae"):
        with pytest.raises(InputError, match=f"method '{wrong}'"):
            codebook_use(experiment, wrong)


def test_healings_are_those_of_the_map(experiment: Experiment) -> None:
    cases = choose_cases(experiment, rule="median per pathology", count=2)
    shown = healing_steps(experiment, cases, method=str(METHOD))
    scored = case_arrays(experiment, cases, method=str(METHOD))
    np.testing.assert_allclose(shown["averages"], scored["reconstructions"], atol=1e-5)
    for name in ("images", "truths", "brain"):
        np.testing.assert_array_equal(shown[name], scored[name])
    assert shown["healed"].shape == (2, 2, 32, 32)
    assert 0 < shown["unlikely"].max() <= 1
    assert not shown["unlikely"][~shown["brain"]].any()
    tops = shown["surprises"].reshape(2, -1).max(axis=1)
    surest = np.unravel_index(shown["surprises"][0].argmax(), (32, 32))
    assert shown["unlikely"][0][surest] > 0
    assert (tops > 0).all()
    with pytest.raises(InputError, match="method 'intensity'"):
        healing_steps(experiment, cases, method="intensity")


@pytest.mark.filterwarnings("default")  # the kernel's machinery, not ours
def test_the_page_stands_alone(small_table: Path, tmp_path: Path) -> None:
    small = {"size": "32 32", "slices": "fraction:0.25", "workers": "1", "method": str(METHOD)}
    small |= {"cohort": str(small_table), "cache": str(tmp_path / "cache")}
    small |= {"compared": f"intensity:equalise=true ae:steps=4,latent_dim=4 vqvae:{SMALL}"}
    page = run_report(NOTEBOOK, output=tmp_path / "report", parameters=small)
    html = page.read_text()
    assert html.count("data:image/png;base64,") >= 7
    assert "Codes in use, of all" in html
    assert not [tag for tag in html.split("<")[1:] if tag.startswith(("img", "script", "link")) and 'src="http' in tag]
    executed = json.loads((tmp_path / "report" / "vqvae_transformer.ipynb").read_text())
    assert not [o for c in executed["cells"] for o in c.get("outputs", []) if o["output_type"] == "error"]
