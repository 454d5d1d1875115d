"""One fold of a cell: train, predict, fit the thresholds."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from uad_data import ArraySpec, ArrayStore
from uad_eval.experiment.budget import Budget
from uad_eval.experiment.folds import Fold
from uad_eval.experiment.json_file import write_json
from uad_eval.experiment.kept_maps import keep_made_up, keep_maps
from uad_eval.experiment.made_up_lesions import held_out_mix, with_made_up_lesions
from uad_eval.experiment.settings import ExperimentSettings, MethodSpec
from uad_eval.experiment.thresholds import best_dice_thresholds, label_free_thresholds
from uad_eval.experiment.watch import Watch
from uad_models import Method, TrainConfig, fit, method_class, predict_rows
from uad_models.overrides import parse_overrides
from uad_models.registry import create
from uad_models.run_folder import training_seconds
from uad_models.training import resolve
from uad_postproc import Context, Pipeline
from uad_postproc.pipelines import pipeline


def typed_settings(spec: MethodSpec) -> dict[str, dict[str, Any]]:
    """Give a spec's settings their types.

    Parameters
    ----------
    spec : MethodSpec
        A method and its settings as text.

    Returns
    -------
    dict
        ``config``, the method's own, and ``train``, the trainer's.

    Raises
    ------
    InputError
        The method or a setting does not exist, or a value has the wrong type.
    """
    pairs = [f"{key}={value}" for key, value in spec.settings.items()]
    groups = {"config": method_class(spec.name).Config, "train": TrainConfig}
    return parse_overrides(pairs, groups, flags={"in_channels": "modalities", "size": "size"})


def resolved(
    spec: MethodSpec, images: ArraySpec, settings: ExperimentSettings, *, seed: int = 0
) -> tuple[Method, TrainConfig]:
    """Give a method as its preset, its settings and the experiment's budget make it.

    Parameters
    ----------
    spec : MethodSpec
        The method.
    images : ArraySpec
        What it gets to see.
    settings : ExperimentSettings
        Preset, budget and accelerator.
    seed : int
        Of the training.

    Returns
    -------
    method : Method
        Not trained.
    train : TrainConfig
        How it is to be.

    Raises
    ------
    InputError
        The method, its preset or a setting does not exist, or a value is not valid.
    """
    given = typed_settings(spec)
    train = {"accelerator": settings.accelerator} | given["train"]
    config, how = resolve(spec.name, images, preset=settings.preset, seed=seed, config=given["config"], train=train)
    with torch.random.fork_rng(devices=[]):
        method = create(spec.name, **config.to_dict())
    budget = Budget.parse(settings.budget)
    return method, replace(how, **budget.train(len(method.stages))) if budget and method.trained else how


def run_fold(
    fold: Fold, spec: MethodSpec, seed: int, store: ArrayStore, settings: ExperimentSettings, *, progress: bool = True
) -> None:
    """Train on the fold's training people, score the others and fit the thresholds; or leave what is done.

    Parameters
    ----------
    fold : Fold
        Where to.
    spec : MethodSpec
        The method.
    seed : int
        Of the training.
    store : ArrayStore
        The prepared cohort with the fold's split, and the column ``voxel_ml``.
    settings : ExperimentSettings
        Of the experiment.
    progress : bool
        Show progress bars.
    """
    if fold.done:
        return
    fold.folder.mkdir(parents=True, exist_ok=True)
    for left in fold.folder.glob(".tmp-*.npy"):  # of a run that was killed while it wrote
        left.unlink()
    watch, steps = Watch(), pipeline(settings.pipeline)
    with watch.phase("train"):
        _, train = resolved(spec, store.spec, settings, seed=seed)
        method = fit(
            spec.name,
            store,
            fold.run,
            preset=settings.preset,
            seed=seed,
            config=typed_settings(spec)["config"],
            train=asdict(train),
            trained=_other_runs(fold),
            progress=progress,
        )
    watch.seconds["train"] = training_seconds(fold.run)  # over all sessions, and with members trained elsewhere
    with watch.phase("predict"):
        _predict(fold, method, store, steps, settings)
        thresholds = _thresholds(fold, method, store, steps, settings)
    facts = {
        "config": method.config.to_dict(),
        "parameters": sum(parameter.numel() for parameter in method.parameters()),
        "thresholds": thresholds,
        "measured": watch.measured(),
    }
    write_json(facts, fold.folder / "fold.json")


def _other_runs(fold: Fold) -> list[Path]:
    """Give the run folders of the same fold of other cells, where a member of an ensemble may be trained already."""
    inside = Path(fold.folder.name, fold.run.name) if fold.number else Path(fold.run.name)
    cells = fold.folder.parents[1 if fold.number else 0]
    return [run for run in sorted(cells.glob(f"*/{inside}")) if run != fold.run]


def _predict(fold: Fold, method: Method, store: ArrayStore, steps: Pipeline, settings: ExperimentSettings) -> None:
    """Write smoothed maps of validation and test, some as they were, and reconstructions and sample scores of test."""
    for split, kept in (("val", None), ("test", fold.folder / "reconstruction.npy")):
        rows, maps = store.rows(split), fold.folder / f"{split}_maps.npy"
        samples = predict_rows(
            method,
            store,
            rows,
            maps,
            reconstruction_out=kept,
            scored=split == "test",
            accelerator=settings.accelerator,
        )
        made = np.load(maps, mmap_mode="r")
        keep_maps(fold, split, made)
        np.save(fold.folder / f"{split}_scores.npy", steps.score(made, Context(store.brain[rows])))
        maps.unlink()
    np.save(fold.folder / "test_samples.npy", samples)


def _thresholds(
    fold: Fold, method: Method, store: ArrayStore, steps: Pipeline, settings: ExperimentSettings
) -> dict[str, float]:
    """Fit the thresholds on validation: healthy rows alone, made-up lesions in them, and all labelled rows."""
    rows, healthy = store.rows("val"), store.healthy_rows("val")
    scores = np.load(fold.folder / "val_scores.npy", mmap_mode="r")
    found = label_free_thresholds(scores[np.isin(rows, healthy)], store, healthy, steps=steps, settings=settings)
    labelled = store.index["lesion_voxels"].to_numpy()[rows] >= 0
    brain = store.brain[rows[labelled]]
    real = scores[labelled][brain], store.lesion[rows[labelled]][brain] > 0
    mix = held_out_mix(method, store.spec.modalities)
    if mix is None:
        return found | best_dice_thresholds(real)
    made, maps = with_made_up_lesions(store, healthy, mix=mix), fold.folder / "synthetic_maps.npy"
    predict_rows(method, made, np.arange(len(made)), maps, scored=False, accelerator=settings.accelerator)
    keep_made_up(fold, np.load(maps, mmap_mode="r"), made)
    synthetic = steps.score(np.load(maps, mmap_mode="r"), Context(made.brain))
    maps.unlink()
    return found | best_dice_thresholds(real, (synthetic[made.brain], made.lesion[made.brain] > 0))
