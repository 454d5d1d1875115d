"""Where a method fails, chosen by rule: the lesions it misses, and the lesion-free slices that it marks most."""

from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from uad_eval.errors import InputError
from uad_eval.experiment.cases import Case
from uad_eval.experiment.grid import Experiment
from uad_eval.experiment.judge import fitted_pipelines
from uad_eval.lesion_bands import lesion_table
from uad_eval.protocols import HEALTHY_VALIDATION
from uad_postproc import Context

_RULES = {
    "largest": ("volume_ml", False),
    "smallest": ("volume_ml", True),
    "iso-intense": ("visible", True),
    "most visible": ("visible", False),
}


def measured_lesions(experiment: Experiment, method: str, *, protocol: str = HEALTHY_VALIDATION) -> pd.DataFrame:
    """Measure every lesion of the test people, and whether a method finds it.

    Parameters
    ----------
    experiment : Experiment
        A finished experiment.
    method : str
        As in the tables; its first seed.
    protocol : str
        Whose threshold makes the masks.

    Returns
    -------
    pandas.DataFrame
        As :func:`uad_eval.lesion_bands.lesion_table`, of the first channel; ``item`` is the place among the
        experiment's ``test_rows``. Of slices, what one slice shows of a lesion is a lesion.

    Raises
    ------
    InputError
        The experiment has no such method, or the protocol no threshold.
    """
    store, rows = experiment.store, experiment.test_rows
    positions = np.flatnonzero(store.index["lesion_voxels"].to_numpy()[rows] > 0)
    index = store.index.iloc[rows[positions]]
    lesions = lesion_table(
        store.image[rows[positions]][:, 0].astype(np.float32),
        store.lesion[rows[positions]],
        store.brain[rows[positions]],
        masks_of_rows(experiment, method, positions, protocol),
        index["subject"].to_numpy(),
        pathologies=index["pathology"].to_numpy(),
        voxel_ml=index["voxel_ml"].to_numpy(),
    )
    return lesions.assign(item=positions[lesions["item"]])


def missed_cases(
    lesions: pd.DataFrame, *, rule: Literal["largest", "smallest", "iso-intense", "most visible"], count: int = 4
) -> list[Case]:
    """Choose lesions that were missed, of each person one.

    Parameters
    ----------
    lesions : pandas.DataFrame
        From `measured_lesions`.
    rule : {"largest", "smallest", "iso-intense", "most visible"}
        By volume, or by how far the lesion is from its surroundings, whether brighter or darker.
    count : int
        Most cases.

    Returns
    -------
    list of Case
        The slices, or volumes, that hold them; empty if none was missed.

    Raises
    ------
    InputError
        The rule is unknown.
    """
    if rule not in _RULES:
        raise InputError(f"rule: expected one of {', '.join(_RULES)}, found {rule!r}")
    column, ascending = _RULES[rule]
    missed = lesions[~lesions["found"]].assign(visible=lesions["contrast"].abs()).dropna(subset=[column])
    ordered = missed.sort_values([column, "subject", "item"], ascending=[ascending, True, True])
    return [
        Case(
            row.item,
            row.subject,
            row.pathology,
            f"{row.pathology}\n{row.subject}\n{row.volume_ml:.2g} ml, {row.contrast:+.1f} SD".replace("-", "−"),
        )
        for row in ordered.drop_duplicates("subject").head(count).itertuples()
    ]


def false_alarm_cases(
    experiment: Experiment, method: str, *, count: int = 4, protocol: str = HEALTHY_VALIDATION
) -> list[Case]:
    """Choose the lesion-free test slices, or volumes, that are marked most, of each person one.

    Parameters
    ----------
    experiment, method, protocol
        As `measured_lesions`.
    count : int
        Most cases.

    Returns
    -------
    list of Case
        Empty if none is marked.
    """
    store, rows = experiment.store, experiment.test_rows
    positions = np.flatnonzero(store.index["lesion_voxels"].to_numpy()[rows] == 0)
    masks = masks_of_rows(experiment, method, positions, protocol)
    index = store.index.iloc[rows[positions]]
    marked = index.assign(
        position=positions, ml=masks.reshape(len(masks), -1).sum(axis=1) * index["voxel_ml"].to_numpy()
    )
    ordered = marked[marked["ml"] > 0].sort_values(["ml", "subject"], ascending=[False, True])
    return [
        Case(row.position, row.subject, row.pathology, f"{row.pathology}\n{row.subject}\n{row.ml:.2g} ml marked")
        for row in ordered.drop_duplicates("subject").head(count).itertuples()
    ]


def masks_of_rows(experiment: Experiment, method: str, positions: NDArray, protocol: str) -> NDArray:
    """Make the masks of some test rows.

    Parameters
    ----------
    experiment, method, protocol
        As `measured_lesions`.
    positions : ndarray of int, shape (n,)
        Places among the experiment's ``test_rows``.

    Returns
    -------
    ndarray of bool, shape (n, *size)
        At the threshold of the protocol.
    """
    cells = [cell for cell in experiment.cells if str(cell.spec) == method]
    if not cells:
        known = ", ".join(sorted({str(cell.spec) for cell in experiment.cells}))
        raise InputError(f"method {method!r}: expected one of the experiment's: {known}")
    brain = experiment.store.brain[experiment.test_rows[positions]]
    masks = np.zeros(brain.shape, bool)
    whose, _ = experiment.fold_of(positions)
    for fold in np.unique(whose):
        here = whose == fold
        steps = fitted_pipelines(cells[0].folds[fold], experiment.settings)
        if protocol not in steps:
            raise InputError(f"protocol {protocol!r}: expected one of {', '.join(steps)}, which have a threshold")
        scores = experiment.read_test(cells[0], "test_scores", positions[here])
        masks[here] = steps[protocol].mask_from_scores(scores, Context(brain[here]))
    return masks
