"""What several methods make of the same rows with lesions: the part that the papers' tables have in common."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from uad_data import ArrayStore
from uad_eval.experiment.settings import ExperimentSettings
from uad_eval.experiment.single_training import Trained
from uad_eval.lesion_contrast import lesion_contrast
from uad_eval.results import SUBJECT, Evaluation


@dataclass(frozen=True, kw_only=True)
class JudgedRows:
    """Methods by name, each of its first seed, on rows with a lesion.

    Parameters
    ----------
    settings : ExperimentSettings
        As asked.
    store : ArrayStore
        Where the rows are.
    rows : ndarray of int, shape (n,)
        Those that are judged.
    reconstructions : dict of str to ndarray
        ``(n, *size)`` float32, of the first channel.
    scores : dict of str to ndarray
        ``(n, *size)`` float32: maps before the threshold.
    masks : dict of str to ndarray
        ``(n, *size)`` bool: final masks.
    trained : dict of str to Trained
        Settings and cost.
    evaluation : Evaluation
        Of all seeds. Cohorts are pathologies, methods the names.
    """

    settings: ExperimentSettings
    store: ArrayStore
    rows: NDArray
    reconstructions: dict[str, NDArray]
    scores: dict[str, NDArray]
    masks: dict[str, NDArray]
    trained: dict[str, Trained]
    evaluation: Evaluation

    @property
    def subjects(self) -> NDArray:
        """Person of each row, ``(n,)`` str."""
        return self.store.index["subject"].to_numpy()[self.rows].astype(str)

    @property
    def pathologies(self) -> NDArray:
        """Pathology of each row, ``(n,)`` str."""
        return self.store.index["pathology"].to_numpy()[self.rows].astype(str)

    @property
    def truths(self) -> NDArray:
        """Lesions, ``(n, *size)`` bool."""
        return self.store.lesion[self.rows] > 0

    @property
    def brain(self) -> NDArray:
        """Brains, ``(n, *size)`` bool."""
        return self.store.brain[self.rows]

    @property
    def images(self) -> NDArray:
        """First channel, ``(n, *size)`` float32."""
        return self.store.image[self.rows][:, 0].astype(np.float32)

    def contrast(self) -> pd.DataFrame:
        """Say how much of the lesions each method redraws.

        Returns
        -------
        pandas.DataFrame
            A row per pathology and method: ``lesions, method``, and the mean over people of what
            `uad_eval.lesion_contrast.lesion_contrast` gives.
        """
        images, truths, brain, subjects, rows = self.images, self.truths, self.brain, self.subjects, []
        for kind in dict.fromkeys(self.pathologies):
            of = self.pathologies == kind
            for name, redrawn in self.reconstructions.items():
                each = lesion_contrast(images[of], redrawn[of], truths[of], brain[of], subjects[of])
                rows.append({"lesions": kind, "method": name} | each.drop(columns="subject").mean().to_dict())
        return pd.DataFrame(rows)

    def middle_people(self, metric: str) -> dict[str, Any]:
        """Show a person per pathology, whose figure, meaned over methods and seeds, is the median.

        Parameters
        ----------
        metric : str
            Of a mask, such as ``"dice"``.

        Returns
        -------
        dict
            Of the axial slice with the most lesion: ``images, truths, brain`` ``(n, h, w)``; ``reconstructions, scores,
            masks``, each by method ``(n, h, w)``; ``titles``.
        """
        results = self.evaluation.results
        own = results[(results["metric"] == metric) & (results["aggregation"] == SUBJECT)].dropna(subset=["value"])
        each = own.groupby(["cohort", "subject"])["value"].mean().reset_index().sort_values(["value", "subject"])
        middle = [group.iloc[(len(group) - 1) // 2] for _, group in each.groupby("cohort", sort=False)]
        truths, subjects = self.truths, self.subjects
        if truths.ndim == 4:  # rows are volumes
            rows = [np.flatnonzero(subjects == row["subject"])[0] for row in middle]
            places: list[tuple[Any, ...]] = [(row, truths[row].sum(axis=(1, 2)).argmax()) for row in rows]
        else:
            areas = truths.sum(axis=(1, 2))
            places = [(np.where(subjects == row["subject"], areas, -1).argmax(),) for row in middle]
        chosen = tuple(np.array(places).T)
        return {
            "images": self.images[chosen],
            "truths": truths[chosen],
            "brain": self.brain[chosen],
            "titles": [f"{row['cohort']}, {row['subject']}" for row in middle],
        } | {
            name: {method: array[chosen] for method, array in getattr(self, name).items()}
            for name in ("reconstructions", "scores", "masks")
        }

    def costs(self) -> pd.DataFrame:
        """List parameters and seconds of training."""
        rows = [
            {"method": name, "parameters": each.parameters, "seconds": each.seconds}
            for name, each in self.trained.items()
        ]
        return pd.DataFrame(rows)
