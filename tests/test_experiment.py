"""The line: scans in, one comparable table out; killed and resumed, it says the same."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from uad_data import InputError as DataInputError
from uad_eval import tables
from uad_eval.errors import InputError
from uad_eval.experiment import ExperimentSettings, MethodSpec, case_arrays, choose_cases, open_cohort, run_experiment
from uad_eval.experiment import judge as judge_module
from uad_eval.headline import headline
from uad_models import list_methods

METHODS = ("intensity", "intensity:equalise=true", "ae:steps=6,latent_dim=4,validate_every=3")


def settings(table: Path, output: Path, **changes: object) -> ExperimentSettings:
    return ExperimentSettings(
        cohort=str(table),
        methods=tuple(MethodSpec.parse(text) for text in METHODS),
        size=(32, 32),
        output=output,
        cache=output.parent / "cache",
        workers=1,
        accelerator="cpu",
        **changes,
    )


def figures(results: pd.DataFrame) -> pd.DataFrame:
    """Everything but what a clock or the memory says."""
    measured = results["unit"].isin(["s", "MiB"])
    return results[~measured].reset_index(drop=True)


def test_table_figures_and_pictures(small_table: Path, tmp_path: Path) -> None:
    experiment = run_experiment(settings(small_table, tmp_path / "out"), progress=False)
    board = tables.leaderboard(experiment.evaluation, baselines=METHODS[:2])
    assert set(board["method"]) == set(METHODS)
    assert board["average_precision"].between(0, 1).all()
    assert "test people" in headline(board)
    assert (tmp_path / "out" / "results.csv").is_file()
    assert list(experiment.history()) == [f"{METHODS[2]}, seed 0"]
    assert experiment.overview().loc["test", "rows with a lesion"] > 0
    cases = choose_cases(experiment, rule="median per pathology", count=3)
    assert len({case.pathology for case in cases}) == len(cases) > 0
    arrays = case_arrays(experiment, cases, method=METHODS[2])
    rows = experiment.store.rows("test")[[case.position for case in cases]]
    np.testing.assert_array_equal(arrays["truths"], experiment.store.lesion[rows] > 0)
    assert arrays["truths"].any(axis=(1, 2)).all()
    assert not arrays["masks"][~arrays["brain"]].any()
    worst = choose_cases(experiment, rule="worst", method=METHODS[0], count=1)
    people = experiment.evaluation.results.query(
        "metric == 'average_precision' and aggregation == 'subject' and method == @METHODS[0]"
    )
    assert worst[0].subject == people.loc[people["value"].idxmin(), "subject"]


def test_what_is_done_is_not_done_again_and_a_kill_changes_nothing(
    small_table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run_experiment(settings(small_table, tmp_path / "whole"), progress=False)

    broken = settings(small_table, tmp_path / "broken")
    judge = judge_module.evaluate
    with monkeypatch.context() as patch:
        calls = []

        def killed(*args: object, **kwargs: object) -> object:
            calls.append(1)
            if len(calls) == 2:
                raise KeyboardInterrupt
            return judge(*args, **kwargs)

        patch.setattr(judge_module, "evaluate", killed)
        with pytest.raises(KeyboardInterrupt):
            run_experiment(broken, progress=False)
    first = next((tmp_path / "broken" / "cells").glob("intensity-seed0-*/cell.json")).stat().st_mtime_ns
    resumed = run_experiment(broken, progress=False)
    assert next((tmp_path / "broken" / "cells").glob("intensity-seed0-*/cell.json")).stat().st_mtime_ns == first
    pd.testing.assert_frame_equal(figures(resumed.evaluation.results), figures(whole.evaluation.results))


def test_only_trained_methods_run_once_per_seed(small_table: Path, tmp_path: Path) -> None:
    experiment = run_experiment(settings(small_table, tmp_path / "out", seeds=(0, 1)), progress=False)
    assert [(cell.spec.name, cell.seed) for cell in experiment.cells] == [
        ("intensity", 0),
        ("intensity", 0),
        ("ae", 0),
        ("ae", 1),
    ]


def test_thresholds_come_from_validation(small_table: Path, tmp_path: Path) -> None:
    rate = 0.1
    experiment = run_experiment(settings(small_table, tmp_path / "out", false_positive_rate=rate), progress=False)
    cell, store = experiment.cells[0], experiment.store
    rows = store.rows("val")
    healthy = np.isin(rows, store.healthy_rows("val"))
    scores = np.load(cell.folder / "val_scores.npy")[healthy][store.brain[rows[healthy]]]
    threshold = cell.folds[0].facts()["thresholds"]["healthy_validation"]
    assert np.mean(scores > threshold) <= rate
    assert np.mean(scores >= threshold) > rate


@pytest.mark.parametrize("text", ["", ":a=1", "vae:", "vae:latent", "vae:=3"])
def test_a_method_that_cannot_be_read(text: str) -> None:
    with pytest.raises(InputError, match="expected 'name' or 'name:key=value"):
        MethodSpec.parse(text)


def test_method_spec_reads_what_it_writes() -> None:
    text = "vae:latent=spatial,latent_dim=16"
    assert str(MethodSpec.parse(text)) == text
    assert MethodSpec.parse(text).slug == "vae-latent-spatial-latent-dim-16"


def test_all_methods_are_the_registered_ones_and_both_baselines() -> None:
    assert [str(spec) for spec in MethodSpec.parse_list("ae vae:latent_dim=4")] == ["ae", "vae:latent_dim=4"]
    every = [str(spec) for spec in MethodSpec.parse_list("all ae:residual=signed")]
    assert every[:2] == ["intensity", "intensity:equalise=true"]
    assert sorted({*every} - {"intensity:equalise=true", "ae:residual=signed"}) == list_methods()
    assert len(every) == len(list_methods()) + 2


@pytest.mark.parametrize(
    ("method", "near"), [("vea", "vae"), ("vae:latnt_dim=3", "latent_dim"), ("vae:steps=x", "steps")]
)
def test_unknown_methods_and_parameters_name_the_nearest(
    small_table: Path, tmp_path: Path, method: str, near: str
) -> None:
    asked = ExperimentSettings(
        cohort=str(small_table), methods=(MethodSpec.parse(method),), size=(32, 32), output=tmp_path, cache=tmp_path
    )
    with pytest.raises(DataInputError, match=near):
        run_experiment(asked, progress=False)


def test_cohorts_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="phantom, phantom_ct, lgg, soop"):
        open_cohort("lggg", cache=tmp_path)
    monkeypatch.delenv("UAD_REAL_DATA", raising=False)
    with pytest.raises(InputError, match="UAD_REAL_DATA"):
        open_cohort("lgg", cache=tmp_path)


def test_a_cohort_without_splits_is_refused(small_table: Path, tmp_path: Path) -> None:
    table = pd.read_csv(small_table, dtype=str, keep_default_na=False)
    for column in table.columns[table.columns.str.match("image_|brain|lesion")]:
        table[column] = [str(small_table.parent / cell) if cell else "" for cell in table[column]]
    table["split"] = ""
    table.to_csv(tmp_path / "cohort.csv", index=False)
    with pytest.raises(InputError, match="every scan in a split"):
        open_cohort(str(tmp_path / "cohort.csv"), cache=tmp_path)
