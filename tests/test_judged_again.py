"""Judging again: what the report's own pipeline says of all rows, it says again; old cells are predicted once more."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from uad_eval.experiment import Experiment, ExperimentSettings, MethodSpec, judge_again, judged_rows, run_experiment
from uad_eval.experiment import kept_maps as kept_module
from uad_eval.protocols import MASK_PROTOCOLS, ORACLE
from uad_postproc.pipelines import PIPELINES, list_pipelines, pipeline

METHODS = ("intensity", "ae:steps=6,latent_dim=4")
OWN = {"poster2023": pipeline("poster2023")}


@pytest.fixture(scope="module")
def settings(small_table: Path, tmp_path_factory: pytest.TempPathFactory) -> ExperimentSettings:
    folder = tmp_path_factory.mktemp("judged")
    return ExperimentSettings(
        cohort=str(small_table),
        methods=tuple(MethodSpec.parse(text) for text in METHODS),
        size=(32, 32),
        output=folder / "out",
        cache=folder / "cache",
        workers=1,
        accelerator="cpu",
    )


@pytest.fixture(scope="module")
def experiment(settings: ExperimentSettings) -> Experiment:
    return run_experiment(settings, progress=False)


def values(judged: pd.DataFrame) -> pd.Series:
    return judged.set_index(["method", "pipeline", "protocol"])["value"]


def test_with_all_rows_kept_it_says_what_the_experiment_says(experiment: Experiment) -> None:
    again = values(judge_again(experiment, pipelines=OWN))
    kept, annotated = judged_rows(experiment)
    assert kept == annotated == len(experiment.test_rows)
    results = experiment.evaluation.results
    own = results.set_index(["method", "metric", "protocol", "aggregation"])["value"]
    for method in METHODS:
        said = again[method]["poster2023"]
        assert said["pooled_ap"] == pytest.approx(own[method, "average_precision", "", "pooled"], rel=1e-6)
        assert said["mean_ap"] == pytest.approx(own[method, "average_precision", "", "mean"], rel=1e-6)
        assert said[ORACLE] == pytest.approx(own[method, "best_dice", ORACLE, "pooled"], rel=1e-6)
        for protocol in MASK_PROTOCOLS:
            assert said[protocol] == pytest.approx(own[method, "dice", protocol, "pooled"], rel=1e-6)
        # Lesions are a larger share of the slices that hold one.
        assert said["lesion_rows_ap"] > said["pooled_ap"]


def test_folds_are_judged_in_one_pot_each_at_its_own_thresholds(settings: ExperimentSettings) -> None:
    asked = replace(settings, folds=2, methods=settings.methods[:1], output=settings.output.parent / "folds")
    experiment = run_experiment(asked, progress=False)
    said = values(judge_again(experiment, pipelines=OWN))[METHODS[0]]["poster2023"]
    own = experiment.evaluation.results.query("aggregation == 'pooled'").set_index(["metric", "protocol"])["value"]
    assert said["pooled_ap"] == pytest.approx(own["average_precision", ""], rel=1e-6)
    assert said["healthy_volume"] == pytest.approx(own["dice", "healthy_volume"], rel=1e-6)
    assert judged_rows(experiment) == (len(experiment.test_rows),) * 2


def test_every_pipeline_and_protocol_has_a_figure_and_the_second_time_is_read(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged = judge_again(experiment)
    pipelines = [name if name != "thesis_ct" else "none (thesis_ct)" for name in list_pipelines()]
    assert list(judged["pipeline"].unique()) == pipelines
    assert len(judged) == len(METHODS) * len(PIPELINES) * 8
    ap = values(judged).xs("pooled_ap", level="protocol")
    # What only cuts sees the map as it is; erosion and median change it.
    assert ap[METHODS[0], "none (thesis_ct)"] == ap[METHODS[0], "pinaya2022"] != ap[METHODS[0], "poster2023"]
    monkeypatch.setattr("uad_eval.experiment.judged_again._figures", None)
    pd.testing.assert_frame_equal(judge_again(experiment), judged, rtol=1e-12)


def test_two_processes_say_what_one_says(experiment: Experiment) -> None:
    alone = judge_again(experiment, pipelines=OWN)
    for cell in experiment.cells:
        for file in cell.folder.glob("judged-again-*.csv"):
            file.unlink()
    several = replace(experiment, settings=replace(experiment.settings, processes=2))
    pd.testing.assert_frame_equal(judge_again(several, pipelines=OWN), alone)


def test_a_cell_that_kept_no_maps_predicts_them_again(experiment: Experiment) -> None:
    before = judge_again(experiment, pipelines=OWN)
    for cell in experiment.cells:
        files = [*cell.folder.glob("*_kept.npy"), cell.folder / "made_up_truth.npy"]
        assert len(files) == 4
        for file in [*files, *cell.folder.glob("judged-again-*.csv")]:
            file.unlink()
    np.testing.assert_allclose(judge_again(experiment, pipelines=OWN)["value"], before["value"], rtol=1e-4)


def test_fewer_rows_are_kept_by_rule_and_stand_for_the_others(
    settings: ExperimentSettings, experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = len(experiment.store.rows("test"))
    monkeypatch.setattr(kept_module, "VOXELS", dict.fromkeys(kept_module.VOXELS, (rows // 2) * 32 * 32))
    fewer = run_experiment(replace(settings, output=settings.output.parent / "fewer"), progress=False)
    step = kept_module.sampling_step("test", rows, (32, 32))
    assert step in (2, 3)
    kept = np.load(fewer.cells[0].folder / "test_kept.npy")
    whole = np.load(experiment.cells[0].folder / "test_kept.npy")
    np.testing.assert_array_equal(kept, whole[::step])
    assert judged_rows(fewer) == (len(kept), rows)
    dice = values(judge_again(fewer, pipelines=OWN))[METHODS[0]]["poster2023"]
    assert dice["healthy_volume"] == pytest.approx(
        values(judge_again(experiment, pipelines=OWN))[METHODS[0]]["poster2023"]["healthy_volume"], abs=0.15
    )
