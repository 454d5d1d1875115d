"""Methods judged by the masks of a pipeline that finds its threshold in each image itself.

Gubaidullin, "Unsupervised anomaly segmentation in brain MR images using context variational autoencoder" (University of
Bonn, BraTS 2019), sections 3, 5.3 and 6: slices without a lesion are learned from, those with one are judged; a mixture
of Gaussians fitted to each residual makes the mask, and its intersection over union is the figure.

Deviations and choices
----------------------
- People are split: the paper's slices with and without a lesion are of the same 335 people, here nobody that is judged
  is learned from.
- The paper does not say whether its figure is one over all voxels, or a mean over slices or people. The first is given
  with an interval, the mean over people beside it.
- The reconstruction's least and largest value inside the brain are matched to the image's, as the paper says; the
  residual without that can be judged beside it.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

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
from uad_eval.protocols import PER_IMAGE
from uad_eval.results import Evaluation, RunKey
from uad_eval.scope import Scope
from uad_models import method_class
from uad_postproc import Context, Pipeline
from uad_postproc.pipelines import pipeline
from uad_postproc.steps import MinMaxResidual, Residual

ResidualKind = Literal["matched", "plain"]


@dataclass(frozen=True, kw_only=True)
class ImageMasks(JudgedRows):
    """A finished study: masks under the protocol ``per_image``, rankings of the plain residual.

    Parameters
    ----------
    settings, store, rows, masks, trained, evaluation
        See `JudgedRows`; the rows are the test people's slices with a lesion.
    reconstructions
        Of methods that learn something alone.
    scores
        What the pipeline's threshold is applied to.
    """

    def overview(self) -> pd.DataFrame:
        """Count what is learned from and judged: people and slices."""
        index = self.store.index
        rows = {
            "lesion-free, learned from": self.store.healthy_rows("train"),
            "lesion-free, validated on": self.store.healthy_rows("val"),
        }
        rows |= {f"{kind}, judged": self.rows[self.pathologies == kind] for kind in dict.fromkeys(self.pathologies)}
        people = {name: index["subject"].iloc[own].nunique() for name, own in rows.items()}
        return pd.DataFrame({"people": people, "slices": {name: len(own) for name, own in rows.items()}})


def run_image_masks(
    settings: ExperimentSettings,
    methods: Mapping[str, MethodSpec],
    *,
    pathologies: Sequence[str] = (),
    residuals: Sequence[ResidualKind] = ("matched",),
    progress: bool = True,
) -> ImageMasks:
    """Train methods on lesion-free slices and judge the masks of test people's slices with a lesion.

    A training that was done before is read, one that was killed resumes.

    Parameters
    ----------
    settings : ExperimentSettings
        With a pipeline that takes a residual of matched range. Its methods are those of `methods`.
    methods : mapping of str to MethodSpec
        By name.
    pathologies : sequence of str
        Which lesions are judged, each as a cohort of its own; all that there are when not given.
    residuals : sequence of {"matched", "plain"}
        With the reconstruction's range matched to the image's, or as it is, each once. The methods bear their names
        with the first; with the other it is added, as ``"cvae, plain"``. Of no effect on what has no reconstruction.
    progress : bool
        Say which method is at work.

    Returns
    -------
    ImageMasks
        Its tables are also in ``<output>/results.csv`` and ``*.parquet``.

    Raises
    ------
    InputError
        A setting that cannot be, a pathology that no test person has, or another kind of pipeline.
    """
    pipelines = {residual: _with_residual(pipeline(settings.pipeline), residual) for residual in residuals}
    images = ArraySpec(
        size=settings.size, modalities=settings.modalities, slices=settings.slices, scaling=settings.scaling
    )
    cohort = open_cohort(
        settings.cohort, cache=settings.cache, subjects=settings.subjects, workers=settings.workers
    ).with_modalities(settings.modalities)
    store = build_arrays(
        cohort, images, cache=settings.cache / "arrays", progress=sys.stderr.isatty(), workers=settings.workers
    )
    rows = _with_lesion(store, pathologies)
    kinds = store.index["pathology"].to_numpy()[rows].astype(str)
    parts: list[Evaluation] = []
    trained: dict[str, Trained] = {}
    found: dict[str, dict[str, NDArray]] = {"reconstructions": {}, "scores": {}, "masks": {}}
    for name, spec in methods.items():
        learns = method_class(spec.name).trained
        for seed in settings.seeds if learns else settings.seeds[:1]:
            if progress:
                print(f"{name}, seed {seed}: {spec}", flush=True)
            done = train_once(store, spec, seed, settings)
            maps, redrawn = done.predict(store, rows, accelerator=settings.accelerator)
            context = _context(store, rows, redrawn if learns else None)
            for residual, steps in pipelines.items() if learns else [next(iter(pipelines.items()))]:
                title = name if residual == residuals[0] else f"{name}, {residual}"
                scores = steps.score(maps, context)
                masks = steps.mask_from_scores(scores, context)
                scope = Scope(slices=f"{settings.slices}, with lesion")
                for kind in dict.fromkeys(kinds):
                    key = RunKey(cohort=kind, method=title, seed=seed, scope=scope)
                    parts.append(_judge(maps, masks, store, rows, kinds == kind, key))
                found["scores"].setdefault(title, scores)
                found["masks"].setdefault(title, masks)
            trained.setdefault(name, done)
            if learns:
                found["reconstructions"].setdefault(name, redrawn[:, 0])
    evaluation = Evaluation.concat(parts)
    evaluation.write(settings.output)
    return ImageMasks(settings=settings, store=store, rows=rows, trained=trained, evaluation=evaluation, **found)


def _with_residual(steps: Pipeline, residual: ResidualKind) -> Pipeline:
    """Choose whether the pipeline matches the reconstruction's range to the image's before it takes the difference."""
    if not any(isinstance(step, MinMaxResidual) for step in steps.steps):
        raise InputError(f"pipeline {steps.name!r}: expected a residual of matched range, as in 'context_vae'")
    if residual == "matched":
        return steps
    return replace(steps, steps=tuple(Residual(s.kind) if isinstance(s, MinMaxResidual) else s for s in steps.steps))


def _with_lesion(store: ArrayStore, pathologies: Sequence[str]) -> NDArray:
    """Give the test rows with a lesion of some pathologies."""
    rows = store.rows("test")
    rows = rows[store.index["lesion_voxels"].to_numpy()[rows] > 0]
    kinds = store.index["pathology"].to_numpy()[rows].astype(str)
    unknown = sorted(set(pathologies) - set(kinds))
    if unknown or not rows.size:
        known = ", ".join(sorted(set(kinds))) or "none"
        raise InputError(
            f"pathologies: expected lesions that test people have, found {', '.join(unknown)}; there are {known}"
        )
    return rows[np.isin(kinds, list(pathologies))] if pathologies else rows


def _context(store: ArrayStore, rows: NDArray, redrawn: NDArray | None) -> Context:
    """Give the brains, and image and reconstruction where there is one."""
    if redrawn is None:
        return Context(store.brain[rows])
    return Context(store.brain[rows], image=store.image[rows].astype(np.float32), reconstruction=redrawn)


def _judge(maps: NDArray, masks: NDArray, store: ArrayStore, rows: NDArray, of: NDArray, key: RunKey) -> Evaluation:
    """Score the maps and masks of one pathology."""
    index = store.index.iloc[rows[of]]
    return evaluate(
        maps[of],
        store.lesion[rows[of]],
        store.brain[rows[of]],
        index["subject"].to_numpy(),
        key=key,
        pathologies=index["pathology"].to_numpy(),
        masks={PER_IMAGE: masks[of]},
    )
