"""Cells that fail are named and left out; the rest is whole, and the next run tries them again."""

import errno
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from uad_eval import render_html, tables
from uad_eval.errors import InputError
from uad_eval.experiment import ExperimentSettings, MethodSpec, run_experiment
from uad_eval.experiment import cell as cell_module
from uad_eval.experiment.folds import Fold

OUT_OF_MEMORY, FULL, WRONG = "intensity:equalise=false", "intensity:equalise=true", "ae:steps=1"
ERRORS = {
    OUT_OF_MEMORY: MemoryError(),
    FULL: OSError(errno.ENOSPC, "No space left on device"),
    WRONG: RuntimeError("shapes do\nnot fit"),
}
TEXTS = {
    OUT_OF_MEMORY: "MemoryError",
    FULL: "OSError: [Errno 28] No space left on device",
    WRONG: "RuntimeError: shapes do not fit",
}


def asked(table: Path, folder: Path, *methods: str) -> ExperimentSettings:
    return ExperimentSettings(
        cohort=str(table),
        methods=tuple(MethodSpec.parse(text) for text in methods),
        size=(32, 32),
        output=folder / "out",
        cache=folder / "cache",
        workers=1,
        accelerator="cpu",
    )


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Some methods write an array and then fail; undone by ``undo``."""
    run_fold = cell_module.run_fold

    def fails(fold: Fold, spec: MethodSpec, *rest: object, **options: object) -> None:
        if str(spec) in ERRORS:
            fold.folder.mkdir(parents=True, exist_ok=True)
            np.save(fold.folder / "val_maps.npy", np.zeros(9))
            raise ERRORS[str(spec)]
        run_fold(fold, spec, *rest, **options)

    monkeypatch.setattr(cell_module, "run_fold", fails)
    return monkeypatch


def test_the_rest_is_whole_and_the_next_run_tries_again(
    small_table: Path, tmp_path: Path, failing: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = asked(small_table, tmp_path, "intensity", OUT_OF_MEMORY, FULL)
    experiment = run_experiment(settings)
    assert [str(cell.spec) for cell in experiment.cells] == ["intensity"]
    assert experiment.failures() == {f"{name}, seed 0": TEXTS[name] for name in (OUT_OF_MEMORY, FULL)}
    assert f"failed: {TEXTS[FULL]}" in capsys.readouterr().out
    table = pd.read_csv(tmp_path / "out" / "failed.csv")
    assert list(table["error"]) == [TEXTS[OUT_OF_MEMORY], TEXTS[FULL]]
    assert "in fails" in Path(table["traceback"][0]).read_text()
    assert not list((tmp_path / "out" / "cells").glob("*/val_maps.npy"))
    board = tables.leaderboard(experiment.evaluation)
    assert list(board["method"]) == ["intensity"]
    assert f"failed: {TEXTS[FULL]}</td>" in render_html(board, failed=experiment.failures())
    costs = experiment.costs().set_index("method")
    assert costs.loc[FULL, "failed"] == TEXTS[FULL]
    assert costs["seconds"].notna().to_dict() == {"intensity": True, OUT_OF_MEMORY: False, FULL: False}
    with pytest.raises(InputError, match=r"cells failed: .*seed 0: MemoryError; .*No space left"):
        experiment.whole()

    failing.undo()
    again = run_experiment(settings, progress=False).whole()
    assert len(again.cells) == 3
    assert "failed" not in again.costs()
    assert not (tmp_path / "out" / "failed.csv").exists()
    assert not list((tmp_path / "out" / "cells").glob("*/traceback.txt"))


@pytest.mark.usefixtures("failing")
def test_a_run_of_which_nothing_is_left_says_why(small_table: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="every cell failed: ae:steps=1, seed 0: RuntimeError: shapes do not fit; see"):
        run_experiment(asked(small_table, tmp_path, WRONG), progress=False)
