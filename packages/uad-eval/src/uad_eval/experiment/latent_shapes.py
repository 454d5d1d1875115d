"""Autoencoders of slices and of volumes on the same voxels, judged as Lambert et al. judge them.

Lambert, Louis, Doyle, Forbes, Dojat, Tucholka, "Leveraging 3D information in unsupervised brain MRI segmentation", ISBI
2021 (https://arxiv.org/abs/2101.10674), section 3: all networks learn from healthy people alone and are judged on the
same central slices; each data set of people with lesions is split in half, and the threshold with the best Dice on one
half is applied to the other.

Deviations and choices
----------------------
- Both halves are scored, each at the threshold of the other: the paper scores the second alone, which leaves half
  of the people out.
- Slices are put together to volumes before post-processing, so that the brain is eroded and regions are counted in
  three dimensions for all networks.
- People with a lesion in any split are judged, as none of them is learned from. Validation is on healthy people.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from uad_data import ArraySpec, ArrayStore, build_arrays
from uad_eval.errors import InputError
from uad_eval.evaluation import evaluate
from uad_eval.experiment.cohorts import open_cohort
from uad_eval.experiment.judged_rows import JudgedRows
from uad_eval.experiment.settings import ExperimentSettings, MethodSpec
from uad_eval.experiment.single_training import Trained, train_once
from uad_eval.experiment.slab import as_slices, central_slab
from uad_eval.protocols import LESION_VALIDATION
from uad_eval.reconstruction import evaluate_reconstruction
from uad_eval.results import Evaluation, RunKey
from uad_eval.scope import Scope
from uad_postproc import Context, Pipeline
from uad_postproc.pipelines import pipeline

_SEED = 0  # of the deal into halves; the same for all networks


@dataclass(frozen=True)
class Network:
    """One row of the table.

    Parameters
    ----------
    spec : MethodSpec
        The method.
    dims : int
        2: it sees slices; 3: it sees volumes.
    """

    spec: MethodSpec
    dims: int


@dataclass(frozen=True, kw_only=True)
class LatentShapes(JudgedRows):
    """A finished study; the size of its settings is that of the volumes before they are cropped.

    Parameters
    ----------
    settings, store, rows, reconstructions, scores, masks, trained
        See `JudgedRows`; the rows are cropped volumes, the methods networks.
    evaluation
        With the metric ``mae``, the mean absolute error over the brain's voxels.
    halves : ndarray of int, shape (n,)
        0 or 1.
    thresholds : pandas.DataFrame
        A row per pathology, network, seed and half: ``pathology, method, seed, half, threshold``; people of that half
        were judged at it.
    """

    halves: NDArray
    thresholds: pd.DataFrame

    def chosen(self, pathology: str, method: str) -> list[float]:
        """Give the thresholds of a network on a pathology, each once."""
        table = self.thresholds
        own = table[(table["pathology"] == pathology) & (table["method"] == method)]
        return sorted(set(own["threshold"]))

    def overview(self) -> pd.DataFrame:
        """Count what is learned from and judged: people, items a 2D and a 3D network sees of them."""
        depth = self.store.spec.size[0]
        learned = {split: len(self.store.healthy_rows(split)) for split in ("train", "val")}
        judged = {name: int((self.pathologies == name).sum()) for name in dict.fromkeys(self.pathologies)}
        rows = {"healthy, learned from": learned["train"], "healthy, validated on": learned["val"]}
        rows |= {f"{name}, judged in two halves": count for name, count in judged.items()}
        return pd.DataFrame({"volumes": rows, "slices": {name: count * depth for name, count in rows.items()}})


def run_latent_shapes(
    settings: ExperimentSettings,
    networks: Mapping[str, Network],
    *,
    pathologies: Sequence[str],
    depth: int,
    progress: bool = True,
) -> LatentShapes:
    """Train networks of slices and volumes on healthy people, and judge them on people with lesions in two halves.

    A training that was done before is read, one that was killed resumes.

    Parameters
    ----------
    settings : ExperimentSettings
        With a size ``(d, h, w)`` and a pipeline whose threshold needs labels. Its methods are those of the networks.
    networks : mapping of str to Network
        By name.
    pathologies : sequence of str
        Which lesions, each a data set with thresholds of its own.
    depth : int
        Central slices that are kept.
    progress : bool
        Say which network is at work.

    Returns
    -------
    LatentShapes
        Its tables are also in ``<output>/results.csv`` and ``*.parquet``.

    Raises
    ------
    InputError
        A setting that cannot be, a pathology with fewer than two people, or a pipeline whose threshold needs no labels.
    """
    steps = pipeline(settings.pipeline)
    if not steps.needs_labels:
        raise InputError(f"pipeline {settings.pipeline!r}: expected one that chooses by labels, such as 'lambert2021'")
    spec = ArraySpec(size=settings.size, modalities=settings.modalities, scaling=settings.scaling)
    cohort = open_cohort(
        settings.cohort, cache=settings.cache, subjects=settings.subjects, workers=settings.workers
    ).with_modalities(settings.modalities)
    whole = build_arrays(
        cohort, spec, cache=settings.cache / "arrays", progress=sys.stderr.isatty(), workers=settings.workers
    )
    store = central_slab(whole, depth)
    rows, halves = _deal(store, pathologies)
    parts, thresholds = [], []
    arrays: dict[str, tuple[NDArray, NDArray, NDArray]] = {}
    trained: dict[str, Trained] = {}
    for name, network in networks.items():
        for seed in settings.seeds:
            if progress:
                print(f"{name}, seed {seed}: {network.spec}", flush=True)
            maps, redrawn, facts = _train_and_predict(store, rows, network, seed, settings)
            scores = steps.score(maps, Context(store.brain[rows]))
            masks, chosen = _cut(scores, store, rows, halves, steps)
            thresholds.append(chosen.assign(method=name, seed=seed))
            for kind in pathologies:
                of = store.index["pathology"].to_numpy()[rows] == kind
                key = RunKey(cohort=kind, method=name, seed=seed, scope=Scope(slices=f"the central {depth}"))
                parts.append(_judge(scores[of], masks[of], redrawn[of], store, rows[of], key))
            arrays.setdefault(name, (redrawn[:, 0], scores, masks))
            trained.setdefault(name, facts)
    evaluation = Evaluation.concat(parts)
    evaluation.write(settings.output)
    redrawn_of, scores_of, masks_of = ({name: each[place] for name, each in arrays.items()} for place in range(3))
    return LatentShapes(
        settings=settings,
        store=store,
        rows=rows,
        halves=halves,
        thresholds=pd.concat(thresholds, ignore_index=True),
        reconstructions=redrawn_of,
        scores=scores_of,
        masks=masks_of,
        trained=trained,
        evaluation=evaluation,
    )


def _deal(store: ArrayStore, pathologies: Sequence[str]) -> tuple[NDArray, NDArray]:
    """Give the rows with a lesion of some pathologies and their half: the people of each dealt in turn."""
    index = store.index
    lesion = (store.lesion > 0).any(axis=(1, 2, 3))
    rows = np.flatnonzero(lesion & index["pathology"].isin(list(pathologies)).to_numpy())
    rng = np.random.default_rng(_SEED)
    half: dict[str, int] = {}
    for kind in pathologies:
        people = sorted(set(index["subject"].to_numpy()[rows][index["pathology"].to_numpy()[rows] == kind]))
        if len(people) < 2:
            known = ", ".join(sorted(set(index["pathology"].iloc[np.flatnonzero(lesion)])))
            raise InputError(
                f"pathology {kind!r}: expected at least two people with a lesion to halve, found {len(people)} "
                f"of {known}"
            )
        half |= {person: place % 2 for place, person in enumerate(rng.permutation(people))}
    return rows, np.array([half[person] for person in index["subject"].to_numpy()[rows]])


def _train_and_predict(
    store: ArrayStore, rows: NDArray, network: Network, seed: int, settings: ExperimentSettings
) -> tuple[NDArray, NDArray, Trained]:
    """Give the maps (n, d, h, w) and reconstructions (n, c, d, h, w) of volumes, and what the training was."""
    learned, seen, wanted = store, store, rows
    if network.dims == 2:
        healthy = np.concatenate([store.healthy_rows(split) for split in ("train", "val")])
        learned, seen = as_slices(store, healthy), as_slices(store, rows)
        wanted = np.arange(len(seen))
    trained = train_once(learned, network.spec, seed, settings)
    maps, images = trained.predict(seen, wanted, accelerator=settings.accelerator)
    if network.dims == 2:
        depth = store.spec.size[0]
        maps = maps.reshape(-1, depth, *maps.shape[1:])
        images = images.reshape(-1, depth, *images.shape[1:]).swapaxes(1, 2)
    return maps, images, trained


def _cut(
    scores: NDArray, store: ArrayStore, rows: NDArray, halves: NDArray, steps: Pipeline
) -> tuple[NDArray, pd.DataFrame]:
    """Make masks of scores: each half of a pathology at the threshold that the other half chooses."""
    kinds, brain, truths = store.index["pathology"].to_numpy()[rows], store.brain[rows], store.lesion[rows] > 0
    masks, thresholds = np.zeros(scores.shape, bool), []
    for kind in dict.fromkeys(kinds):
        for half in (0, 1):
            chosen, judged = ((kinds == kind) & (halves == side) for side in (1 - half, half))
            inside = brain[chosen]
            fitted = steps.fit_voxels(scores[chosen][inside], truths[chosen][inside])
            masks[judged] = fitted.mask_from_scores(scores[judged], Context(brain[judged]))
            thresholds.append({"pathology": kind, "half": half, "threshold": fitted.threshold.value})
    return masks, pd.DataFrame(thresholds)


def _judge(
    scores: NDArray, masks: NDArray, redrawn: NDArray, store: ArrayStore, rows: NDArray, key: RunKey
) -> Evaluation:
    """Score the maps, masks and reconstructions of one pathology."""
    index, brain = store.index.iloc[rows], store.brain[rows]
    people, kinds = index["subject"].to_numpy(), index["pathology"].to_numpy()
    return Evaluation.concat(
        [
            evaluate(
                scores,
                store.lesion[rows],
                brain,
                people,
                key=key,
                pathologies=kinds,
                masks={LESION_VALIDATION: masks},
                voxel_ml=index["pixel_mm"].to_numpy() ** 3 / 1000,
            ),
            evaluate_reconstruction(
                store.image[rows], redrawn, brain, people, key=key, metric="mae", pathologies=kinds
            ),
        ]
    )
