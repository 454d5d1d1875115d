"""The study of synthetic_unet: its variants, fewer people, other cohorts, failures; and its page."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from uad_data import Cohort, write_phantom
from uad_data.corruptions.lesions import KINDS
from uad_eval.comparison import over_seeds
from uad_eval.errors import InputError
from uad_eval.experiment import (
    Experiment,
    ExperimentSettings,
    MethodSpec,
    SyntheticPlan,
    case_arrays,
    evaluate_elsewhere,
    false_alarm_cases,
    fewer_people,
    measured_lesions,
    missed_cases,
    run_elsewhere,
    run_experiment,
    run_with_fewer_people,
    transfer_matrix,
)
from uad_eval.experiment.training import typed_settings
from uad_eval.report import run_report

METHOD = MethodSpec.parse("ae:steps=4,latent_dim=4")
BASELINE = MethodSpec.parse("intensity:equalise=true")
NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "synthetic.ipynb"


@pytest.fixture(scope="session")
def other_table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Other people than those of the small table."""
    folder = tmp_path_factory.mktemp("others") / "elsewhere"
    write_phantom(folder, subjects=8, seed=1, spacing_mm=6.0)
    return folder / "cohort.csv"


@pytest.fixture(scope="session")
def home(small_table: Path, tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """A finished experiment."""
    folder = tmp_path_factory.mktemp("home")
    settings = ExperimentSettings(
        cohort=str(small_table),
        methods=(BASELINE, METHOD),
        size=(32, 32),
        output=folder / "out",
        cache=folder / "cache",
        workers=1,
        accelerator="cpu",
    )
    return run_experiment(settings, progress=False)


def test_variants_differ_in_one_thing_and_none_sees_the_validation_kind() -> None:
    plan = SyntheticPlan(steps=40, channels=(8, 16), step_counts=(10,), widths=((8,),), training={"batch_size": "4"})
    assert set(plan.kinds) == set(KINDS) - {"intensity_shift"}
    assert plan.methods[0] == plan.base == plan.by_steps[40] == plan.by_width[8, 16]
    assert len(plan.methods) == 1 + 2 * len(plan.kinds) + 2
    base = typed_settings(plan.base)["config"]
    for name, spec in {**plan.left_out, **plan.alone}.items():
        config = typed_settings(spec)["config"]
        assert config["held_out"] == ("intensity_shift",)
        assert {key: value for key, value in config.items() if key != "kinds"} == base
        trained = set(config.get("kinds", plan.kinds))
        assert "intensity_shift" not in trained
        first, _, last = name.partition(" ")
        expected = {"without": set(plan.kinds) - {last}, "all": set(plan.kinds)}.get(first, {first})
        assert trained == expected
    assert typed_settings(plan.by_steps[10])["train"] == {"steps": 10, "warmup_steps": 2, "batch_size": 4}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"kinds": ("intensity_shift",)}, "all but the validation kind, found 'intensity_shift'"),
        ({"kinds": ("blob",)}, "found 'blob'"),
        ({"validation_kind": "blob"}, "validation_kind: expected one of field_blobs"),
        ({"step_counts": (0,)}, "expected at least 1"),
    ],
)
def test_plans_that_cannot_be_run(wrong: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        SyntheticPlan(**{"steps": 10, "channels": (8,)} | wrong)


def test_fewer_people_keep_the_others_and_are_nested(small_phantom: Cohort) -> None:
    people = {}
    for count in (1, 3):
        table = fewer_people(small_phantom, count).table
        people[count] = set(table["subject"][table["split"] == "train"])
        assert len(people[count]) == count
        rest = small_phantom.table[small_phantom.table["split"] != "train"]
        kept = table[table["split"] != "train"]
        assert kept.reset_index(drop=True).equals(rest.reset_index(drop=True))
    assert people[1] < people[3]
    with pytest.raises(InputError, match="the training people there are, found 99"):
        fewer_people(small_phantom, 99)


def test_fewer_people_are_tested_on_the_same(home: Experiment) -> None:
    everyone = int(home.overview().loc["train", "people"])
    runs = run_with_fewer_people(home.settings, [everyone - 1], METHOD, progress=False)
    overview = runs[everyone - 1].overview()
    assert overview.loc["train", "people"] == everyone - 1
    assert overview.loc[["val", "test"]].equals(home.overview().loc[["val", "test"]])
    with pytest.raises(InputError, match="own split"):
        run_with_fewer_people(replace(home.settings, folds=2), [1], METHOD, progress=False)


def test_tested_elsewhere(home: Experiment, other_table: Path) -> None:
    others = run_elsewhere(
        home.settings, [str(other_table), home.settings.cohort], (BASELINE, METHOD), subjects=8, progress=False
    )
    assert list(others) == ["elsewhere"]
    # What is tested where it was trained says what the experiment itself says.
    again = evaluate_elsewhere(home, METHOD, home)
    figures = [over_seeds(each, str(METHOD), metric="average_precision") for each in (again, home.evaluation)]
    np.testing.assert_allclose(*figures)
    matrix = transfer_matrix({"home": home} | others, METHOD, BASELINE).set_index(["row", "column"])
    assert matrix.loc[("home", "home"), "difference"] == 0
    assert matrix.loc[("elsewhere", "home"), "value"] != matrix.loc[("home", "home"), "value"]
    assert matrix["trained"].sum() == 4
    assert len(matrix) == 6


def test_failures_are_chosen_by_rule(home: Experiment) -> None:
    lesions = measured_lesions(home, str(METHOD))
    store, rows = home.store, home.test_rows
    voxels = store.lesion[rows][lesions["item"].unique()] > 0
    assert set(lesions["item"]) == set(np.flatnonzero(store.index["lesion_voxels"].to_numpy()[rows] > 0))
    volume = (
        voxels.reshape(len(voxels), -1).sum(axis=1) * store.index["voxel_ml"].to_numpy()[rows[lesions["item"].unique()]]
    )
    assert lesions["volume_ml"].sum() == pytest.approx(volume.sum())
    lesions["found"] = False
    (largest,) = missed_cases(lesions, rule="largest", count=1)
    assert largest.position == lesions.loc[lesions["volume_ml"].idxmax(), "item"]
    (faint,) = missed_cases(lesions, rule="iso-intense", count=1)
    assert faint.position == lesions.loc[lesions["contrast"].abs().idxmin(), "item"]
    assert missed_cases(lesions.assign(found=True), rule="smallest") == []
    with pytest.raises(InputError, match="rule: expected one of largest"):
        missed_cases(lesions, rule="oddest")
    alarms = false_alarm_cases(home, str(METHOD), count=8)
    shown = case_arrays(home, alarms, method=str(METHOD))
    marked = shown["masks"].sum(axis=(1, 2))
    assert marked.min() > 0
    assert list(marked) == sorted(marked, reverse=True)
    assert not shown["truths"].any()
    with pytest.raises(InputError, match="expected one of the experiment's"):
        measured_lesions(home, "vae")


@pytest.mark.filterwarnings("default")  # the kernel's machinery, not ours
def test_the_page_stands_alone(small_table: Path, other_table: Path, tmp_path: Path) -> None:
    small = {"size": "32 32", "steps": "4", "step_counts": "2", "people_counts": "2", "batch_size": "4"}
    small |= {"channels": "8", "widths": "8+8", "kinds": "field_blobs nsa", "slices": "fraction:0.25", "workers": "1"}
    places = {"cohort": str(small_table), "transfer_cohorts": str(other_table), "cache": str(tmp_path / "cache")}
    page = run_report(NOTEBOOK, output=tmp_path / "report", parameters=small | places)
    html = page.read_text()
    assert html.count("data:image/png;base64,") >= 6
    assert "against all kinds" in html
    assert not [tag for tag in html.split("<")[1:] if tag.startswith(("img", "script", "link")) and 'src="http' in tag]
    executed = json.loads((tmp_path / "report" / "synthetic.ipynb").read_text())
    assert not [o for c in executed["cells"] for o in c.get("outputs", []) if o["output_type"] == "error"]
