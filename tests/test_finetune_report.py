"""The study of labelled scans: 0 is the map itself, every start sees the same labels, and the page."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from uad_data import Cohort
from uad_data import InputError as ModelError
from uad_eval.errors import InputError
from uad_eval.experiment import (
    PRETRAINED,
    SCRATCH,
    ExperimentSettings,
    Finetuned,
    FinetunePlan,
    MethodSpec,
    run_experiment,
    run_finetuning,
)
from uad_eval.experiment.finetuning import judge_labelled, score_rows
from uad_eval.label_gain import label_gain
from uad_eval.report import run_report
from uad_eval.results import RunKey
from uad_eval.scope import Scope
from uad_models import RunConfig, load_run

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "finetune.ipynb"
SPEC = MethodSpec.parse("denoising_unet:steps=4,channels=8+8,fold=1,batch_size=4")
SHORT = {"steps": "4", "validate_every": "2", "batch_size": "4", "augmentation": "none"}
CLASSES = ("inner=1", "outer=2")
# In the phantom's own split of eight people nobody with a lesion is trained on.
SPLITS = {"sub-003": "train", "sub-005": "train", "sub-002": "val", "sub-007": "test"}


@pytest.fixture(scope="session")
def labelled_table(small_phantom: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two labelled people to learn from, one to validate on, one to test on, and healthy ones in each split."""
    table = small_phantom.table
    split = table["subject"].map(SPLITS).fillna(table["split"])
    path = tmp_path_factory.mktemp("labelled") / "cohort.csv"
    Cohort(table.assign(split=split), small_phantom.root).write(path)
    return path


def settings(table: Path, folder: Path, **changes: object) -> ExperimentSettings:
    given = {"methods": (MethodSpec("intensity"),), "size": (32, 32), "workers": 1}
    given |= {"cohort": str(table), "output": folder / "out", "cache": folder / "cache", "accelerator": "cpu"}
    return ExperimentSettings(**given | changes)


@pytest.fixture(scope="session")
def done(labelled_table: Path, tmp_path_factory: pytest.TempPathFactory) -> Finetuned:
    """A finished study."""
    plan = FinetunePlan(pretraining=SPEC, counts=(1,), classes=CLASSES, settings=SHORT)
    return run_finetuning(settings(labelled_table, tmp_path_factory.mktemp("study")), plan, progress=False)


def figures(done: Finetuned, method: str, seed: int) -> dict[tuple[str, str, str], float]:
    rows = done.evaluation.select(method=method, seed=seed).results
    return {(row.metric, row.aggregation, row.subject): row.value for row in rows.itertuples()}


def test_no_labelled_scan_is_the_anomaly_map_itself(done: Finetuned) -> None:
    experiment = done.experiment
    alone = run_experiment(replace(experiment.settings, methods=(SPEC,)), progress=False)
    for cell in alone.cells:
        as_map = alone.evaluation.select(method=str(SPEC), seed=cell.seed)
        found = done.evaluation.select(method=done.methods(PRETRAINED)[0], seed=cell.seed)
        assert found.results["value"].tolist() == pytest.approx(as_map.results["value"].tolist(), abs=0, nan_ok=True)
        # And it is what the scoring of the fine-tuned ones makes of the map.
        store = alone.store
        rows = store.rows("test")
        method, _ = load_run(cell.folds[0].run)
        scores = score_rows(method, store, rows, alone.settings, folder=cell.folder)
        key = RunKey(cohort="x", method="y", seed=cell.seed, scope=Scope(slices=alone.settings.slices))
        again = judge_labelled(alone.stores, scores, key=key).results
        for metric in ("average_precision", "best_dice"):
            pooled = (again["metric"] == metric) & (again["aggregation"] == "pooled")
            own = figures(done, done.methods(PRETRAINED)[0], cell.seed)
            assert again[pooled]["value"].item() == own[metric, "pooled", "pooled"]


def test_both_starts_see_the_same_labels_and_the_same_network(done: Finetuned) -> None:
    runs = sorted(done.experiment.settings.output.glob("cells/*/labelled/*/run"))
    assert len(runs) == 2 * 2 * 2  # starts, numbers, tasks
    by_start: dict[tuple, list] = {}
    for run in runs:
        said = RunConfig.read(run)
        start = "pre" if run.parent.name.startswith("pre") else "new"
        assert (said.labels["pretrained"] is not None) == (start == "pre")
        case = (said.seed, len(said.labels["scans"]), tuple(said.config["classes"]))
        by_start.setdefault(case, []).append((said.labels["scans"], said.labels["validation_scans"], said.config))
    assert len(by_start) == 4
    assert all(pair[0] == pair[1] for pair in by_start.values())
    assert "skipped 2 tensors" in done.carried_over()


def test_the_table_has_every_figure(done: Finetuned) -> None:
    assert done.everything == 2
    assert list(done.methods(PRETRAINED)) == [0, 1, 2]
    assert list(done.methods(SCRATCH)) == [1, 2]
    for start in (PRETRAINED, SCRATCH):
        for count, method in done.methods(start).items():
            found = {metric for metric, _, _ in figures(done, method, 0)}
            assert {"average_precision", "best_dice"} <= found
            assert ({"class_dice", "class_dice_inner", "class_dice_outer"} <= found) == (count > 0)
    assert "intensity" in set(done.evaluation.results["method"])
    gain = label_gain(
        done.evaluation, done.methods(PRETRAINED), done.methods(SCRATCH), metric="class_dice", aggregation="mean"
    )
    assert gain["x"].tolist() == [1, 2]
    assert (done.experiment.settings.output / "results.csv").is_file()
    labels = done.labels().set_index("split")["labelled scans"]
    assert labels.to_dict() == {"train": 2, "val": 1, "test": 1}


def test_what_is_done_is_read_and_what_is_missing_is_made_alike(done: Finetuned) -> None:
    (gone, *_), before = sorted(done.experiment.settings.output.glob("cells/*/labelled/*/results.parquet")), {}
    for run in done.experiment.settings.output.glob("cells/*/labelled/*/run/model.safetensors"):
        before[run] = run.stat().st_mtime_ns
    gone.unlink()
    again = run_finetuning(done.experiment.settings, done.plan, progress=False)
    assert {run: run.stat().st_mtime_ns for run in before} == before
    for method in again.methods(PRETRAINED).values():
        one, other = figures(done, method, 0), figures(again, method, 0)
        assert list(one) == list(other)
        np.testing.assert_array_equal(list(one.values()), list(other.values()))


def test_folds_are_judged_together(small_table: Path, tmp_path: Path) -> None:
    plan = FinetunePlan(pretraining=SPEC, counts=(), settings=SHORT, validation_scans=1)
    given = settings(small_table, tmp_path, folds=2, validation_share=0.4, methods=(SPEC,))
    found = run_finetuning(given, plan, progress=False)
    results = found.evaluation.select(method=found.methods(SCRATCH)[1.0]).results
    assert results[results["aggregation"] == "subject"]["subject"].nunique() == 8
    assert len(found.labels()) == 6


def test_plans_that_cannot_be_run(labelled_table: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="0 labelled scans is the anomaly map itself"):
        FinetunePlan(pretraining=SPEC, counts=(0,))
    given = settings(labelled_table, tmp_path, methods=(SPEC,))
    for changes, error, message in (
        ({"settings": {"stepz": "1"}}, ModelError, "unknown key 'stepz'"),
        ({"classes": ("core",)}, ModelError, "expected 'name=value'"),
        ({"pretraining": MethodSpec("ae")}, ModelError, "'ae' cannot be fine-tuned"),
        ({"counts": (2,)}, InputError, "expected numbers below 2"),
    ):
        with pytest.raises(error, match=message):
            run_finetuning(given, FinetunePlan(**{"pretraining": SPEC, "counts": (1,)} | changes), progress=False)


@pytest.mark.filterwarnings("default")  # the kernel's machinery, not ours
def test_the_page_stands_alone(labelled_table: Path, tmp_path: Path) -> None:
    small = {"size": "32 32", "steps": "2", "counts": "", "seeds": "0", "workers": "1", "classes": " ".join(CLASSES)}
    small |= {"pretraining": str(SPEC), "cohort": str(labelled_table), "cache": str(tmp_path / "cache")}
    page = run_report(NOTEBOOK, output=tmp_path / "report", parameters=small)
    html = page.read_text()
    assert html.count("data:image/png;base64,") >= 1
    assert "This page is about learning from labels" in html
    assert "skipped 2 tensors" in html
    assert not [tag for tag in html.split("<")[1:] if tag.startswith(("img", "script", "link")) and 'src="http' in tag]
    executed = json.loads((tmp_path / "report" / "finetune.ipynb").read_text())
    assert not [o for c in executed["cells"] for o in c.get("outputs", []) if o["output_type"] == "error"]
