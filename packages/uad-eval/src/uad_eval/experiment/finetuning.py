"""How many labelled scans a network needs, with and without pre-training on healthy brains. Labels are learned from.

Source: Holzschuh et al., "Combining anomaly detection and supervised learning for medical image segmentation", MIDL
2023, Figure 1. The pre-trained method is one cell of an experiment, and its figures are those of 0 labelled scans.
From its weights, and from scratch with the same network, a training starts on each number of labelled scans of the
training people; the loss on labelled validation scans chooses the weights. Every fold's test people are judged
together, by the same steps as the anomaly map.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from uad_data import ArraySpec, ArrayStore
from uad_eval.class_dice import CLASS_DICE, evaluate_class_dice
from uad_eval.errors import InputError
from uad_eval.evaluation import evaluate
from uad_eval.experiment.cell import Cell
from uad_eval.experiment.grid import Experiment, run_experiment
from uad_eval.experiment.judge import annotated_positions
from uad_eval.experiment.settings import ExperimentSettings, MethodSpec
from uad_eval.label_gain import label_curve, label_gain
from uad_eval.plots.label_curves import LabelPanel
from uad_eval.protocols import ORACLE
from uad_eval.relabel import relabel
from uad_eval.results import MEAN, POOLED, Evaluation, RunKey
from uad_eval.scope import Scope
from uad_models import Method, TrainConfig, finetune, predict_rows
from uad_models.devices import open_fabric
from uad_models.feeding import read_batch
from uad_models.labelled.carry_over import read_report, summary
from uad_models.labelled.finetune import CARRIED_OVER, resolve_finetune
from uad_models.labelled.scans import labelled_scans
from uad_models.labelled.segmenter import Segmenter, SegmenterConfig
from uad_models.overrides import parse_overrides
from uad_postproc import Context
from uad_postproc.pipelines import pipeline

#: Where a training on labels starts.
PRETRAINED, SCRATCH = "pre-trained", "from scratch"
STARTS = (PRETRAINED, SCRATCH)
_BATCH = 32


@dataclass(frozen=True, kw_only=True)
class FinetunePlan:
    """What is trained on labels.

    Parameters
    ----------
    pretraining : MethodSpec
        The method that learns from healthy brains first, and whose network it is.
    counts : tuple of int
        Numbers of labelled scans, at least 1; all there are is added.
    classes : tuple of str
        ``"name=value"`` each for a second training that tells them apart; empty for none.
    preset : str
        ``"quick"`` or ``"full"``, see ``uad-models finetune``.
    settings : dict of str to str
        Settings of fine-tuning and of its training, as text, such as ``{"encoder": "frozen", "steps": "100"}``.
    validation_scans : int
        Labelled scans that choose the weights; 0 for all.

    Raises
    ------
    InputError
        A number is out of range, or a setting does not exist.
    """

    pretraining: MethodSpec
    counts: tuple[int, ...]
    classes: tuple[str, ...] = ()
    preset: str = "quick"
    settings: dict[str, str] = field(default_factory=dict)
    validation_scans: int = 0

    def __post_init__(self) -> None:
        if any(count < 1 for count in self.counts) or self.validation_scans < 0:
            raise InputError(
                f"counts and validation_scans: expected at least 1 and 0, found {self.counts} and "
                f"{self.validation_scans}; 0 labelled scans is the anomaly map itself and always there"
            )
        object.__setattr__(self, "counts", tuple(sorted(set(self.counts))))

    def typed(self) -> dict[str, dict]:
        """Give the settings their types: ``config`` of the network, ``train`` of its training."""
        pairs = [f"{key}={value}" for key, value in self.settings.items()]
        flags = dict.fromkeys(("in_channels", "size", "modalities", "base", "network", "classes"), "another parameter")
        return parse_overrides(pairs, {"config": SegmenterConfig, "train": TrainConfig}, flags=flags)


@dataclass(frozen=True)
class Finetuned:
    """Trainings on labels, and the pre-training that they are compared with.

    Parameters
    ----------
    experiment : Experiment
        The pre-training, and the baselines asked for.
    plan : FinetunePlan
        As asked.
    evaluation : Evaluation
        Of all trainings on labels, of 0 labelled scans, and of the baselines.
    everything : float
        How many labelled scans there are, the mean over folds.
    """

    experiment: Experiment
    plan: FinetunePlan
    evaluation: Evaluation
    everything: float

    def methods(self, start: str) -> dict[float, str]:
        """Name the trainings of a start by their number of labelled scans; 0 is the anomaly map.

        Parameters
        ----------
        start : {"pre-trained", "from scratch"}
            Where they started.

        Returns
        -------
        dict of float to str
            Number to method, as in the tables.
        """
        zero = {0.0: _name(start, 0)} if start == PRETRAINED else {}
        return (
            zero
            | {float(count): _name(start, count) for count in self.plan.counts}
            | {self.everything: _name(start, None)}
        )

    @property
    def figures(self) -> dict[str, dict[str, str]]:
        """What Figure 1 of the paper shows, by name: which figure of the tables it is."""
        found = {
            "AP": {"metric": "average_precision", "protocol": "", "aggregation": POOLED},
            "⌈Dice⌉": {"metric": "best_dice", "protocol": ORACLE, "aggregation": POOLED},
        }
        classes = {"mean Dice of the classes": {"metric": CLASS_DICE, "protocol": "", "aggregation": MEAN}}
        return found | (classes if self.plan.classes else {})

    def gain(self, name: str) -> pd.DataFrame:
        """Test at each number of labelled scans whether pre-training gains.

        Parameters
        ----------
        name : str
            One of `figures`.

        Returns
        -------
        DataFrame
            As `uad_eval.label_gain.label_gain`.
        """
        return label_gain(self.evaluation, self.methods(PRETRAINED), self.methods(SCRATCH), **self.figures[name])

    def panel(self, name: str) -> LabelPanel:
        """Draw up a panel of Figure 1: both starts, and the lines of no label and of all labels from scratch.

        Parameters
        ----------
        name : str
            One of `figures`.

        Returns
        -------
        LabelPanel
            For `uad_eval.plots.label_curves`.
        """
        curves = {start: label_curve(self.evaluation, self.methods(start), **self.figures[name]) for start in STARTS}
        gain, none = self.gain(name), curves[PRETRAINED][curves[PRETRAINED]["x"] == 0]["value"]
        levels = {} if none.empty else {"no label: the anomaly map": float(none.item())}
        levels["all labels, from scratch"] = float(curves[SCRATCH]["value"].iloc[-1])
        clear = gain[(gain["low"] > 0) | (gain["high"] < 0)]["x"]
        return LabelPanel(name, curves, levels, tuple(clear))

    def table(self, name: str) -> pd.DataFrame:
        """Set both starts and what pre-training gains side by side.

        Parameters
        ----------
        name : str
            One of `figures`.

        Returns
        -------
        DataFrame
            A row per number of labelled scans: figure, labelled scans, a column per start, gain and its 95 % interval,
            p.
        """
        panel, gain = self.panel(name), self.gain(name).set_index("x")
        each = pd.DataFrame({start: table.set_index("x")["value"] for start, table in panel.curves.items()})
        shown = each.join(gain.rename(columns={"value": "gain"})[["gain", "low", "high", "p"]])
        shown.insert(0, "figure", name)
        return shown.rename_axis("labelled scans").reset_index()

    def class_table(self) -> pd.DataFrame:
        """Give the mean Dice over patients of each class, mean over seeds.

        Returns
        -------
        DataFrame
            A row per start and number of labelled scans, a column per class; empty without classes.
        """
        names = [name.partition("=")[0] for name in self.plan.classes]
        results = self.evaluation.results[self.evaluation.results["aggregation"] == MEAN]
        rows = []
        for start in STARTS:
            for count, method in self.methods(start).items():
                own = results[results["method"] == method].groupby("metric")["value"].mean()
                found = {name: own.get(f"{CLASS_DICE}_{name}") for name in names}
                if count and names:
                    rows.append({"start": start, "labelled scans": count} | found)
        return pd.DataFrame(rows)

    def labels(self) -> pd.DataFrame:
        """Count labelled scans, those whose labels may be learned from and those that choose the weights.

        Returns
        -------
        DataFrame
            A row per fold and split: fold, split, scans, rows with a lesion.
        """
        rows = []
        for number, store in enumerate(self.experiment.stores):
            for split in ("train", "val", "test"):
                scans = labelled_scans(store, split)
                lesions = store.index["lesion_voxels"].to_numpy()[store.rows(split)] > 0
                rows.append({"fold": number + 1, "split": split, "labelled scans": len(scans)})
                rows[-1]["rows with a lesion"] = int(lesions.sum())
        return pd.DataFrame(rows)

    def carried_over(self) -> str:
        """Say in one line which weights the first fine-tuning began with.

        Returns
        -------
        str
            As `uad_models.labelled.carry_over.summary`.
        """
        folder = _folder(self._cells()[0], self.plan, PRETRAINED, None, ())
        return summary(read_report(_fold_folder(self._cells()[0], 0, folder) / "run" / CARRIED_OVER))

    def _cells(self) -> list[Cell]:
        """Cells of the pre-training, one per seed."""
        return [cell for cell in self.experiment.cells if str(cell.spec) == str(self.plan.pretraining)]


def run_finetuning(settings: ExperimentSettings, plan: FinetunePlan, *, progress: bool = True) -> Finetuned:
    """Pre-train, then train on each number of labelled scans from both starts, for every seed and fold.

    What was done before is read, and what was killed resumes.

    Parameters
    ----------
    settings : ExperimentSettings
        Cohort, images, seeds and folds; its methods are baselines that see no label, and the pre-training is added.
    plan : FinetunePlan
        What is trained on labels.
    progress : bool
        Say what is at work.

    Returns
    -------
    Finetuned
        Its tables are also in ``<output>/results.csv`` and ``*.parquet``.

    Raises
    ------
    InputError
        As `run_experiment`; there are not so many labelled scans; the network cannot be fine-tuned.
    """
    _check(settings, plan)
    if plan.pretraining not in settings.methods:
        settings = replace(settings, methods=(*settings.methods, plan.pretraining))
    experiment = run_experiment(settings, progress=progress).whole()
    scans = [len(labelled_scans(store, "train")) for store in experiment.stores]
    if plan.counts and plan.counts[-1] >= min(scans):
        raise InputError(
            f"counts: expected numbers below {min(scans)}, the labelled training scans of the smallest fold, which are "
            f"a training of their own; found {plan.counts[-1]}"
        )
    done = Finetuned(experiment, plan, experiment.evaluation, float(np.mean(scans)))
    names = {str(spec): str(spec) for spec in settings.methods}
    names[str(plan.pretraining)] = _name(PRETRAINED, 0)
    parts = [relabel(experiment.evaluation, names)]
    for cell in done._cells():
        for count in (*plan.counts, None):
            for start in STARTS:
                if progress:
                    print(f"{_name(start, count)}, seed {cell.seed}", flush=True)
                parts += [
                    _run(experiment, cell, plan, start, count, classes)
                    for classes in ((), plan.classes)[: 1 + bool(plan.classes)]
                ]
    evaluation = Evaluation.concat(parts)
    evaluation.write(settings.output)
    return replace(done, evaluation=evaluation)


def _check(settings: ExperimentSettings, plan: FinetunePlan) -> None:
    """Tell what is wrong before anything is trained: settings, classes, and a network that cannot be fine-tuned."""
    spec = ArraySpec(size=settings.size, modalities=settings.modalities)
    given = plan.typed()
    for classes in ((), plan.classes):
        resolve_finetune(
            spec,
            base=plan.pretraining.name,
            preset=plan.preset,
            config=given["config"] | {"classes": classes},
            train=given["train"],
        )


def _name(start: str, count: int | None) -> str:
    """Name a training in the tables."""
    return f"{start}, {'all' if count is None else count} labelled"


def _folder(cell: Cell, plan: FinetunePlan, start: str, count: int | None, classes: Sequence[str]) -> Path:
    """Give a training on labels its folder, keyed by everything that its cell's folder does not say."""
    key = {"preset": plan.preset, "settings": plan.settings, "validation_scans": plan.validation_scans}
    digest = hashlib.sha256(json.dumps(key | {"classes": list(classes)}, sort_keys=True).encode()).hexdigest()[:8]
    name = (
        f"{start.replace(' ', '-')}-{'all' if count is None else count}-{'classes' if classes else 'lesion'}-{digest}"
    )
    return cell.folder / "labelled" / name


def _fold_folder(cell: Cell, place: int, folder: Path) -> Path:
    """Where one fold of such a training stands."""
    number = cell.folds[place].number
    return folder / f"fold-{number}" if number else folder


def _run(
    experiment: Experiment, cell: Cell, plan: FinetunePlan, start: str, count: int | None, classes: Sequence[str]
) -> Evaluation:
    """Train in every fold and judge the test people of all together, or read what an earlier run left."""
    folder = _folder(cell, plan, start, count, classes)
    if (folder / "results.parquet").is_file():
        return Evaluation.read(folder)
    settings, stores, given = experiment.settings, experiment.stores, plan.typed()
    found = []
    for place, store in enumerate(stores):
        method = finetune(
            store,
            _fold_folder(cell, place, folder) / "run",
            pretrained=cell.folds[place].run,
            from_scratch=start == SCRATCH,
            scans=count,
            validation_scans=plan.validation_scans or None,
            preset=plan.preset,
            seed=cell.seed,
            config=given["config"] | {"classes": tuple(classes)},
            train={"accelerator": settings.accelerator} | given["train"],
            progress=False,
        )
        rows = store.rows("test")[annotated_positions(store)]
        if classes:
            found.append(_class_maps(method, store, rows, settings))
        else:
            found.append(score_rows(method, store, rows, settings, folder=_fold_folder(cell, place, folder)))
    scope = Scope(slices=settings.slices)
    key = RunKey(cohort=settings.cohort_name, method=_name(start, count), seed=cell.seed, scope=scope)
    evaluation = judge_labelled(stores, np.concatenate(found), key=key, classes=classes)
    evaluation.write(folder)
    return evaluation


def score_rows(
    method: Method, store: ArrayStore, rows: np.ndarray, settings: ExperimentSettings, *, folder: Path
) -> np.ndarray:
    """Give the scores of rows, the maps after the pipeline's steps before the threshold.

    Parameters
    ----------
    method : Method
        Trained.
    store : ArrayStore
        The prepared cohort.
    rows : ndarray of int, shape (n,)
        Which.
    settings : ExperimentSettings
        The pipeline, and where to compute.
    folder : Path
        A file stands there for the while.

    Returns
    -------
    ndarray
        ``(n, *size)`` float32.
    """
    maps = folder / "maps.npy"
    predict_rows(method, store, rows, maps, accelerator=settings.accelerator)
    scores = pipeline(settings.pipeline).score(np.load(maps), Context(store.brain[rows]))
    maps.unlink()
    return scores


def judge_labelled(
    stores: Sequence[ArrayStore], found: np.ndarray, *, key: RunKey, classes: Sequence[str] = ()
) -> Evaluation:
    """Score the annotated test rows of all folds in one pot.

    Parameters
    ----------
    stores : sequence of ArrayStore
        The prepared cohort with each fold's split.
    found : ndarray, shape (n, *size)
        Scores of these rows, one fold behind the other; with classes the class of each voxel instead, 0 background.
    key : RunKey
        Stands in every row.
    classes : sequence of str
        ``"name=value"`` each, or empty.

    Returns
    -------
    Evaluation
        Average precision, ⌈Dice⌉ and AUROC; with classes the Dice of each and their mean.
    """
    store = stores[0]  # the arrays are the same in all
    rows = np.concatenate([view.rows("test")[annotated_positions(view)] for view in stores])
    index, lesion, brain = store.index.iloc[rows], store.lesion[rows], store.brain[rows]
    subjects, pathologies = index["subject"].to_numpy(), index["pathology"].to_numpy()
    if not classes:
        return evaluate(found, lesion, brain, subjects, key=key, pathologies=pathologies)
    values = SegmenterConfig(classes=tuple(classes)).class_values
    truth = np.zeros(lesion.shape, np.uint8)
    for number, value in enumerate(values.values(), start=1):
        truth[lesion == value] = number
    return evaluate_class_dice(found, truth, brain, subjects, key=key, classes=list(values), pathologies=pathologies)


@torch.inference_mode()
def _class_maps(method: Segmenter, store: ArrayStore, rows: np.ndarray, settings: ExperimentSettings) -> np.ndarray:
    """Class of each voxel, ``(n, *size)`` uint8."""
    device = open_fabric(accelerator=settings.accelerator).device
    method = method.to(device)
    batches = (read_batch(store, rows[first : first + _BATCH], device=device) for first in range(0, len(rows), _BATCH))
    return np.concatenate([method.class_map(batch["image"]).cpu().numpy() for batch in batches])
