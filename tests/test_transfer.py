"""Other cohorts of a report: refused before anything runs, or trained on and tested both ways."""

from dataclasses import replace
from pathlib import Path

import pytest

from uad_data import write_phantom
from uad_eval.errors import InputError
from uad_eval.experiment import (
    ExperimentSettings,
    MethodSpec,
    other_cohorts,
    run_experiment,
    transfer_matrices,
    whole_numbers,
)


@pytest.fixture
def settings(small_table: Path, tmp_path: Path) -> ExperimentSettings:
    return ExperimentSettings(
        cohort=str(small_table),
        methods=(MethodSpec.parse("intensity"), MethodSpec.parse("ae:steps=4,latent_dim=4")),
        size=(32, 32),
        output=tmp_path / "out",
        cache=tmp_path / "cache",
        workers=1,
        accelerator="cpu",
    )


def test_what_cannot_be_done_is_told_before_anything_runs(
    settings: ExperimentSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("UAD_REAL_DATA", raising=False)
    assert other_cohorts("", replace(settings, folds=2)) == ()
    assert other_cohorts("phantom:1 phantom", settings) == ("phantom:1", "phantom")
    for text, message in (
        ("nowhere", "cohort 'nowhere': expected one of phantom"),
        ("phantom:x", "expected one of phantom"),
        ("lgg", "set the environment variable UAD_REAL_DATA"),
        (str(tmp_path / "none.csv"), "no such file"),
        (settings.cohort, "expected other cohorts"),
        ("phantom phantom", "each once"),
    ):
        with pytest.raises(InputError, match=message):
            other_cohorts(text, settings)
    with pytest.raises(InputError, match="set folds to 0"):
        other_cohorts("phantom:1", replace(settings, folds=2))
    with pytest.raises(InputError, match="a method that learns"):
        other_cohorts("phantom:1", replace(settings, methods=settings.methods[:1]))
    assert not (tmp_path / "out").exists()


def test_both_ways_with_and_without_a_baseline(settings: ExperimentSettings, tmp_path: Path) -> None:
    other = write_phantom(tmp_path / "elsewhere", subjects=6, seed=3, spacing_mm=6.0).root / "cohort.csv"
    home = run_experiment(settings, progress=False)
    assert transfer_matrices(home, ()) == {}
    matrices = transfer_matrices(home, [str(other)], progress=False)
    assert list(matrices) == [str(settings.methods[1])]
    (matrix,) = matrices.values()
    assert set(matrix["row"]) == {settings.cohort_name, "elsewhere", "intensity"}
    assert set(matrix["column"]) == {settings.cohort_name, "elsewhere"}
    assert matrix["value"].between(0, 1).all()
    alone = run_experiment(replace(settings, methods=settings.methods[1:]), progress=False)
    (matrix,) = transfer_matrices(alone, [str(other)], progress=False).values()
    assert len(matrix) == 4


def test_numbers_in_text() -> None:
    assert whole_numbers("size", "96 64", counts=(2, 3)) == (96, 64)
    assert whole_numbers("seeds", "0 1 2 3") == (0, 1, 2, 3)
    for text in ("96", "96 x", "", "96 96 96 96", "96 -1", "9.5 9"):
        with pytest.raises(InputError, match="size: expected 2 or 3 whole numbers"):
            whole_numbers("size", text, counts=(2, 3))


def test_settings_of_the_wrong_kind_are_refused(settings: ExperimentSettings) -> None:
    for name, value in (
        ("subjects", "many"),
        ("subjects", 8.5),
        ("folds", True),
        ("false_positive_rate", "low"),
        ("false_positive_rate", 1.0),
        ("budget", 5),
    ):
        with pytest.raises(InputError, match=f"{name}: expected .*, found {value!r}"):
            replace(settings, **{name: value})
    assert replace(settings, false_positive_ml=2).false_positive_ml == 2
