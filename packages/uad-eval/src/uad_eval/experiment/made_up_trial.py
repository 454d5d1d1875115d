"""What a trained method makes of test people's healthy rows with lesions made up in them."""

from dataclasses import dataclass

import numpy as np

from uad_eval.errors import InputError
from uad_eval.evaluation import evaluate
from uad_eval.experiment.grid import Experiment
from uad_eval.experiment.judge import fitted_pipelines
from uad_eval.experiment.made_up_lesions import held_out_mix, with_made_up_lesions
from uad_eval.experiment.settings import MethodSpec
from uad_eval.protocols import HEALTHY_VALIDATION
from uad_eval.results import Evaluation, RunKey
from uad_eval.samples import evaluate_samples
from uad_eval.scope import Scope
from uad_models import load_run, predict_rows
from uad_postproc import Context


@dataclass(frozen=True)
class MadeUpTrial:
    """A method on made-up lesions.

    Parameters
    ----------
    evaluation : Evaluation
        Average precision over the voxels of the rows with made-up lesions; and sample scores, of these rows against
        the same people's healthy rows as they are.
    shown : dict of str to ndarray
        For `uad_eval.plots.gallery`, as `uad_eval.experiment.case_arrays` gives them.
    """

    evaluation: Evaluation
    shown: dict[str, np.ndarray]


def made_up_trial(experiment: Experiment, method: MethodSpec, *, count: int = 4) -> MadeUpTrial | None:
    """Make up lesions in the healthy test rows of slices, and score a method's first training on them.

    Parameters
    ----------
    experiment : Experiment
        A finished experiment on slices; of folds the first is taken.
    method : MethodSpec
        One of its methods.
    count : int
        Rows to show: with a lesion, from small to large in even steps.

    Returns
    -------
    MadeUpTrial or None
        None for a sequence without a prior on lesions.

    Raises
    ------
    InputError
        The experiment has no such method.
    """
    cells = [cell for cell in experiment.cells if str(cell.spec) == str(method)]
    if not cells:
        known = ", ".join(sorted({str(cell.spec) for cell in experiment.cells}))
        raise InputError(f"method {method}: expected one of {known}")
    cell, store, settings = cells[0], experiment.store, experiment.settings
    fold = cell.folds[0]
    model, _ = load_run(fold.run)
    mix = held_out_mix(model, store.spec.modalities)
    if mix is None:
        return None
    healthy = store.healthy_rows("test")
    made = with_made_up_lesions(store, healthy, mix=mix)
    maps, redrawn = fold.folder / "made_up_maps.npy", fold.folder / "made_up_reconstruction.npy"
    rows = np.arange(len(made))
    samples = predict_rows(model, made, rows, maps, reconstruction_out=redrawn, accelerator=settings.accelerator)
    steps = fitted_pipelines(fold, settings)[HEALTHY_VALIDATION]
    scores, reconstructions = steps.score(np.load(maps), Context(made.brain)), np.load(redrawn)[:, 0]
    maps.unlink()
    redrawn.unlink()

    truths = made.lesion > 0
    sizes = truths.reshape(len(made), -1).sum(axis=1)
    key = RunKey(
        cohort=settings.cohort_name, method=str(cell.spec), seed=cell.seed, scope=Scope(slices=settings.slices)
    )
    subjects = made.index["subject"].to_numpy()
    voxels = evaluate(scores, made.lesion, made.brain, subjects, key=key)
    before = np.load(fold.folder / "test_samples.npy")[np.isin(store.rows("test"), healthy)]
    distances = evaluate_samples(
        np.concatenate([before, samples[sizes > 0]]),
        np.arange(len(before) + np.count_nonzero(sizes)) >= len(before),
        np.concatenate([store.index["subject"].to_numpy()[healthy], subjects[sizes > 0]]),
        key=key,
    )
    by_size = np.argsort(sizes, kind="stable")[np.count_nonzero(sizes == 0) :]
    chosen = by_size[np.linspace(0, len(by_size) - 1, min(count, len(by_size)) + 2).astype(int)[1:-1]]
    brain = made.brain[chosen]
    shown = {
        "images": made.image[chosen][:, 0].astype(np.float32),
        "reconstructions": reconstructions[chosen],
        "maps": scores[chosen],
        "masks": steps.mask_from_scores(scores[chosen], Context(brain)),
        "truths": truths[chosen],
        "brain": brain,
    }
    return MadeUpTrial(Evaluation.concat([voxels, distances]), shown)
