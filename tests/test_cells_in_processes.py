"""Several processes, or a Dask cluster, make the table that one makes; one that is killed costs its own job alone."""

import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from uad_eval.errors import InputError
from uad_eval.experiment import Experiment, ExperimentSettings, MethodSpec, grid, run_experiment
from uad_eval.experiment.processes import run_each

METHODS = ("intensity", "ae:steps=4,latent_dim=4,validate_every=2")
ENSEMBLE = "ensemble:members=ae:latent_dim=4+vae:latent_dim=4,steps=4,validate_every=2"


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Other numbers of threads round otherwise."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def alone(small_table: Path, tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """The experiment in one process."""
    folder = tmp_path_factory.mktemp("alone")
    asked = ExperimentSettings(
        cohort=str(small_table),
        methods=tuple(MethodSpec.parse(text) for text in METHODS),
        size=(32, 32),
        output=folder / "out",
        cache=folder / "cache",
        workers=1,
        accelerator="cpu",
    )
    return run_experiment(asked, progress=False)


def figures(experiment: Experiment) -> pd.DataFrame:
    """Everything but what a clock or the memory says."""
    results = experiment.evaluation.results
    return results[~results["unit"].isin(["s", "MiB"])].reset_index(drop=True)


def test_two_processes_make_the_same_table(
    alone: Experiment, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = MethodSpec.parse("ae:steps=1,precision=16-mixed")
    methods = (*alone.settings.methods, wrong)
    torch.set_num_threads(2)  # as on two cores: 0 processes are then two of one thread
    several = run_experiment(replace(alone.settings, output=tmp_path, processes=0, methods=methods))
    torch.set_num_threads(1)
    pd.testing.assert_frame_equal(figures(several), figures(alone))
    assert [str(cell.spec) for cell in several.cells] == list(METHODS)
    assert list(several.failures()) == [f"{wrong}, seed 0"]
    said = capsys.readouterr().out
    assert "] intensity, seed 0, done\n" in said
    assert f"[3/3] {wrong}, seed 0 failed: " in said


def test_the_longest_training_begins_first(alone: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = []

    def one_by_one(work: Callable[..., object], jobs: list[Any], **how: object) -> Iterator[tuple[int, object]]:
        for place, job in enumerate(jobs):
            begun.append(str(job.cell.spec))
            yield place, work(job)

    monkeypatch.setattr(grid, "run_each", one_by_one)
    longer = METHODS[1].replace("steps=4", "steps=6")
    methods = (*alone.settings.methods, MethodSpec.parse(longer))
    found = run_experiment(replace(alone.settings, output=tmp_path, processes=2, methods=methods), progress=False)
    assert begun == [longer, METHODS[1], METHODS[0]]
    assert [str(cell.spec) for cell in found.cells] == [*METHODS, longer]


@pytest.mark.parametrize("processes", [1, 2])
def test_an_ensemble_waits_for_a_cell_that_trains_its_member(alone: Experiment, tmp_path: Path, processes: int) -> None:
    spec = MethodSpec.parse(ENSEMBLE)

    def run(*methods: MethodSpec, output: str) -> tuple[pd.DataFrame, list[str]]:
        asked = replace(alone.settings, output=tmp_path / output, methods=methods, processes=processes)
        found = run_experiment(asked, progress=False)
        last = found.cells[methods.index(spec)]
        results = figures(found)
        stages = pd.read_csv(last.folds[0].run / "history.csv")["stage"].unique()
        return results[results["method"] == str(spec)].reset_index(drop=True), list(stages)

    whole, stages = run(spec, output="whole")
    assert stages == ["1_ae_fit", "2_vae_fit"]
    taken, stages = run(spec, *alone.settings.methods, output="taken")
    assert stages == ["2_vae_fit"]
    pd.testing.assert_frame_equal(taken, whole)


def test_jobs_wait_for_those_that_they_come_after() -> None:
    # Of functions that every process finds; the second job would be done long before the first.
    ended = [place for place, _ in run_each(time.sleep, [0.5, 0.0, 0.0], after={1: [0], 2: [1]}, processes=3)]
    assert ended == [0, 1, 2]


def test_a_dask_cluster_makes_the_same_table(alone: Experiment, tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed", reason="Dask is an extra: pip install 'uad-data[dask]'")
    options = {"n_workers": 1, "threads_per_worker": 1, "processes": False, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster:
        address = cluster.scheduler_address
        spread = run_experiment(replace(alone.settings, output=tmp_path, scheduler=address), progress=False)
    pd.testing.assert_frame_equal(figures(spread), figures(alone))


def test_a_scheduler_that_is_not_there(alone: Experiment, tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="Dask is an extra: pip install 'uad-data[dask]'")
    with pytest.raises(InputError, match="expected a Dask scheduler, found none"):
        run_experiment(replace(alone.settings, output=tmp_path, scheduler="tcp://127.0.0.1:9"), progress=False)


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_process_that_is_killed_costs_its_own_job_alone() -> None:
    # A function that every process finds: this file is no module to those that pytest did not start.
    found = dict(run_each(signal.raise_signal, [signal.SIGKILL, signal.SIGCHLD]))
    assert isinstance(found[0], BrokenProcessPool)
    assert found[1] is None
