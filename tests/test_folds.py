"""Cross-validation by person: everyone is tested once, by a training that has not seen them; and pooled in one pot."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from uad_eval import metrics, tables
from uad_eval.errors import InputError
from uad_eval.experiment import Experiment, ExperimentSettings, MethodSpec, case_arrays, choose_cases, run_experiment
from uad_eval.experiment import cell as cell_module
from uad_eval.experiment.judge import fitted_pipelines
from uad_postproc import Context

AE = "ae:steps=4,latent_dim=4,validate_every=2"


def settings(table: Path, folder: Path, **changes: object) -> ExperimentSettings:
    asked = {"methods": ("intensity", AE), "folds": 3, "output": folder / "out"} | changes
    asked["methods"] = tuple(MethodSpec.parse(text) for text in asked["methods"])
    return ExperimentSettings(
        cohort=str(table), size=(32, 32), cache=folder / "cache", workers=1, accelerator="cpu", **asked
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("folds")


@pytest.fixture(scope="module")
def experiment(small_table: Path, folder: Path) -> Experiment:
    return run_experiment(settings(small_table, folder), progress=False)


def test_everyone_is_tested_once_and_nobody_by_a_training_that_saw_them(experiment: Experiment) -> None:
    people = sorted(set(experiment.store.index["subject"]))
    tested = [subject for store in experiment.stores for subject in store.index.query("split == 'test'")["subject"]]
    assert len(tested) == len(experiment.store) == len(experiment.test_rows)
    results = experiment.evaluation.results.query("aggregation == 'subject' and metric == 'average_precision'")
    for method in ("intensity", AE):
        assert sorted(results.loc[results["method"] == method, "subject"]) == people
    assert experiment.overview().loc["fold 1"]["people"].sum() == len(people)
    assert len({store.digest for store in experiment.stores}) == 3


def test_arrays_are_prepared_once(experiment: Experiment, folder: Path) -> None:
    assert len(list((folder / "cache" / "arrays").iterdir())) == 1
    assert all(store.image is experiment.store.image for store in experiment.stores)


def test_figures_are_of_all_people_with_each_folds_own_threshold(experiment: Experiment) -> None:
    cell, store = experiment.cells[1], experiment.store
    scores, truths, masks = [], [], []
    for fold, view in zip(cell.folds, experiment.stores, strict=True):
        rows = view.rows("test")
        brain, own = store.brain[rows], np.load(fold.folder / "test_scores.npy")
        steps = fitted_pipelines(fold, experiment.settings)["healthy_volume"]
        masks.append(steps.mask_from_scores(own, Context(brain))[brain])
        scores.append(own[brain])
        truths.append(store.lesion[rows][brain])
    pooled = experiment.evaluation.results.query("method == @AE and aggregation == 'pooled'")
    pooled = pooled.set_index(["metric", "protocol"])["value"]
    scores, truths, masks = (np.concatenate(parts) for parts in (scores, truths, masks))
    assert pooled["average_precision", ""] == pytest.approx(metrics.average_precision(scores, truths))
    assert pooled["dice", "healthy_volume"] == pytest.approx(metrics.dice(masks, truths))
    assert len({fold.facts()["thresholds"]["healthy_volume"] for fold in cell.folds}) == 3


def test_tables_and_pictures(experiment: Experiment) -> None:
    assert set(tables.leaderboard(experiment.evaluation)["method"]) == {"intensity", AE}
    costs = tables.label_cost(experiment.evaluation)
    assert set(costs["protocol"]) >= {"healthy_validation", "healthy_volume", "synthetic_validation"}
    assert (costs.dropna(subset=["stated_ml"])["false_positive_ml"] >= 0).all()
    assert list(experiment.costs()["fold"]) == [1, 2, 3] * 2
    assert len(experiment.history()) == 3
    cases = choose_cases(experiment, rule="median per pathology", count=8)
    arrays = case_arrays(experiment, cases, method=AE)
    index = experiment.store.index.iloc[experiment.test_rows[[case.position for case in cases]]]
    assert list(index["subject"]) == [case.subject for case in cases]
    for case, row, shown in zip(cases, index.index, arrays["maps"], strict=True):
        (fold,) = [n for n, s in enumerate(experiment.stores) if (s.rows("test") == row).any()]
        place = np.flatnonzero(experiment.stores[fold].rows("test") == row)[0]
        np.testing.assert_array_equal(
            shown, np.load(experiment.cells[1].folds[fold].folder / "test_scores.npy")[place], err_msg=case.subject
        )


def test_killed_in_the_second_fold_it_goes_on_there(
    experiment: Experiment, small_table: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = settings(small_table, folder, output=folder / "killed")
    run_fold = cell_module.run_fold
    with monkeypatch.context() as patch:

        def killed(fold: object, spec: MethodSpec, *args: object, **kwargs: object) -> None:
            if spec.name == "ae" and fold.number == 2:
                raise KeyboardInterrupt
            run_fold(fold, spec, *args, **kwargs)

        patch.setattr(cell_module, "run_fold", killed)
        with pytest.raises(KeyboardInterrupt):
            run_experiment(asked, progress=False)
    first = next((folder / "killed" / "cells").glob("ae-*/fold-1/fold.json")).stat().st_mtime_ns
    resumed = run_experiment(asked, progress=False)
    assert next((folder / "killed" / "cells").glob("ae-*/fold-1/fold.json")).stat().st_mtime_ns == first
    without_clock = [
        e.evaluation.results.query("unit not in ['s', 'MiB']").reset_index(drop=True) for e in (resumed, experiment)
    ]
    pd.testing.assert_frame_equal(*without_clock)


def test_other_folds_are_other_cells(experiment: Experiment, small_table: Path, folder: Path) -> None:
    other = run_experiment(settings(small_table, folder, methods=("intensity",), folds=2), progress=False)
    own = run_experiment(settings(small_table, folder, methods=("intensity",), folds=0), progress=False)
    assert len({cell.folder for e in (experiment, other, own) for cell in e.cells}) == 4


@pytest.mark.parametrize("folds", [-1, 1])
def test_folds_that_make_no_sense(small_table: Path, tmp_path: Path, folds: int) -> None:
    with pytest.raises(InputError, match="folds: expected 0 for the cohort's own split"):
        settings(small_table, tmp_path, folds=folds)
