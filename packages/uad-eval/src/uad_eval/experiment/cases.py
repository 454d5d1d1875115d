"""Which scans a report shows, by rule, and what each method makes of them."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from uad_eval.errors import InputError
from uad_eval.experiment.grid import Experiment
from uad_eval.experiment.judge import fitted_pipelines
from uad_eval.protocols import HEALTHY_VALIDATION
from uad_eval.results import SUBJECT
from uad_postproc import Context


@dataclass(frozen=True)
class Case:
    """A slice or volume of the test set.

    Parameters
    ----------
    position : int
        Among the experiment's ``test_rows``.
    subject, pathology : str
        Of the table.
    title : str
        Says the rule that chose it.
    """

    position: int
    subject: str
    pathology: str
    title: str


def choose_cases(
    experiment: Experiment, *, rule: Literal["median per pathology", "worst"], method: str = "", count: int = 4
) -> list[Case]:
    """Choose test cases by rule; the picture is each person's row with the largest lesion.

    Parameters
    ----------
    experiment : Experiment
        A finished experiment.
    rule : {"median per pathology", "worst"}
        The person whose average precision, meaned over methods and seeds, is the median of their pathology; or the
        people on whom `method` does worst.
    method : str
        For ``"worst"``.
    count : int
        Most cases.

    Returns
    -------
    list of Case
        In the order of the pathologies' names, or from the worst.
    """
    results = experiment.evaluation.results
    scores = results[(results["metric"] == "average_precision") & (results["aggregation"] == SUBJECT)].dropna(
        subset=["value"]
    )
    if rule == "worst":
        scores = scores[scores["method"] == method]
    each = scores.groupby(["pathology", "subject"], as_index=False)["value"].mean().sort_values(["value", "subject"])
    if rule == "worst":
        chosen = each.head(count)
    elif rule == "median per pathology":
        chosen = pd.concat([group.iloc[[(len(group) - 1) // 2]] for _, group in each.groupby("pathology")][:count])
    else:
        raise InputError(f"rule: expected 'median per pathology' or 'worst', found {rule!r}")
    index = experiment.store.index.iloc[experiment.test_rows].reset_index(drop=True)
    cases = []
    for row in chosen.itertuples():
        position = int(index[index["subject"] == row.subject]["lesion_voxels"].idxmax())
        cases.append(Case(position, row.subject, row.pathology, f"{row.pathology}\n{row.subject}\nAP {row.value:.2f}"))
    return cases


def case_arrays(
    experiment: Experiment, cases: list[Case], *, method: str, seed: int | None = None
) -> dict[str, np.ndarray]:
    """Read what a gallery shows of some cases.

    Parameters
    ----------
    experiment : Experiment
        A finished experiment.
    cases : list of Case
        From `choose_cases`.
    method : str
        As in the tables.
    seed : int, optional
        The method's first when not given.

    Returns
    -------
    dict of str to ndarray
        ``images``, ``reconstructions``, ``maps`` (scores after smoothing) float32, ``masks`` (healthy-validation
        threshold), ``truths``, ``brain`` bool; each ``(n, h, w)``, of the first channel, of a volume the slice with the
        most lesion.

    Raises
    ------
    InputError
        If the experiment has no such cell.
    """
    cells = [c for c in experiment.cells if str(c.spec) == method and seed in (None, c.seed)]
    if not cells:
        known = ", ".join(sorted({str(cell.spec) for cell in experiment.cells}))
        raise InputError(f"method {method!r}, seed {seed}: expected one of the experiment's cells: {known}")
    cell, store = cells[0], experiment.store
    positions = np.array([case.position for case in cases])
    rows = experiment.test_rows[positions]
    brain, truths = store.brain[rows], store.lesion[rows] > 0
    maps, masks = experiment.read_test(cell, "test_scores", positions), np.empty(brain.shape, bool)
    for place, fold in enumerate(experiment.fold_of(positions)[0]):
        steps = fitted_pipelines(cell.folds[fold], experiment.settings)[HEALTHY_VALIDATION]
        masks[place] = steps.mask_from_scores(maps[[place]], Context(brain[[place]]))[0]
    arrays = {
        "images": store.image[rows][:, 0].astype(np.float32),
        "reconstructions": experiment.read_test(cell, "reconstruction", positions)[:, 0],
        "maps": maps,
        "masks": masks,
        "truths": truths,
        "brain": brain,
    }
    if truths.ndim == 4:
        best = truths.sum(axis=(2, 3)).argmax(axis=1)
        arrays = {name: array[np.arange(len(array)), best] for name, array in arrays.items()}
    return arrays
