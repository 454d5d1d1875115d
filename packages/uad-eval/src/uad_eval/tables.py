"""The ranked table of methods, and a method's figures by pathology; both are read from an evaluation's tables."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from uad_eval.bootstrap import DRAWS, interval, ratio_draws, subject_weights
from uad_eval.comparison import Comparison, Estimate, check_same_subjects
from uad_eval.errors import InputError
from uad_eval.protocols import (
    HEALTHY_VALIDATION,
    HEALTHY_VOLUME,
    LESION_VALIDATION,
    MASK_PROTOCOLS,
    ORACLE,
    SYNTHETIC_VALIDATION,
)
from uad_eval.results import MEAN, POOLED, SUBJECT, Evaluation


@dataclass(frozen=True)
class Column:
    """One column of the leaderboard.

    Attributes
    ----------
    name : str
        Of the column in the data frame; ``<name>_low`` and ``<name>_high`` stand beside it.
    metric, protocol : str
        Which rows of the results it shows. The protocol ``"chosen"`` is the one that the leaderboard is asked for.
    heading : str
        In the rendered table.
    compared : bool
        Whether higher is better, so that the best may be set in bold.
    """

    name: str
    metric: str
    heading: str
    protocol: str = ""
    compared: bool = True


CHOSEN = "chosen"
COLUMNS = (
    Column("average_precision", "average_precision", "AP"),
    Column("auroc", "auroc", "AUROC"),
    Column("best_dice", "best_dice", "⌈Dice⌉", ORACLE),
    Column("dice_lesion_validation", "dice", "Dice, lesion validation", LESION_VALIDATION),
    Column("dice_healthy_validation", "dice", "Dice, healthy validation", HEALTHY_VALIDATION),
    Column("dice_healthy_volume", "dice", "Dice, healthy volume", HEALTHY_VOLUME),
    Column("dice_synthetic_validation", "dice", "Dice, synthetic validation", SYNTHETIC_VALIDATION),
    Column("iou", "iou", "IoU", CHOSEN),
    Column("sensitivity", "sensitivity", "Sensitivity", CHOSEN, compared=False),
    Column("specificity", "specificity", "Specificity", CHOSEN, compared=False),
    Column("precision", "precision", "Precision", CHOSEN, compared=False),
    Column("lesion_f1", "lesion_f1", "Lesion F1", CHOSEN),
    Column("slice_auroc", "slice_auroc", "Slice AUROC"),
    Column("scan_auroc", "scan_auroc", "Scan AUROC"),
    Column("healthy_mae", "healthy_mae", "Healthy MAE", compared=False),
    Column("seconds", "seconds", "Seconds", compared=False),
)


def leaderboard(
    evaluation: Evaluation,
    *,
    metric: str = "average_precision",
    aggregation: str = POOLED,
    protocol: str = LESION_VALIDATION,
    baselines: Collection[str] = (),
) -> pd.DataFrame:
    """Rank the methods.

    Parameters
    ----------
    evaluation : Evaluation
        Of one cohort and one scope; any number of methods and seeds.
    metric : str
        Name of the column to rank by, higher is better.
    aggregation : str
        ``"pooled"`` or ``"mean"`` (over subjects). Figures that no single subject has, such as slice AUROC and
        seconds, are pooled in both.
    protocol : str
        Threshold protocol of IoU, sensitivity, specificity, precision and lesion F1.
    baselines : collection of str
        Methods to mark as baselines.

    Returns
    -------
    pandas.DataFrame
        Best first, a row per method: ``rank, method, baseline, seeds, subjects``; for each of :data:`COLUMNS` the value
        over seeds and its interval (:mod:`uad_eval.comparison` says how seeds and subjects combine); ``difference``,
        the paired difference from the best method in ``metric``; and, the same in every row, ``cohort, scope,
        ranked_by, aggregation, protocol, prevalence, false_positive_rate``.

    Raises
    ------
    InputError
        Several cohorts or scopes, an unknown column, or methods scored on different subjects.
    """
    shared = _shared(evaluation, metric) | {"aggregation": aggregation, "protocol": protocol}
    results = evaluation.results
    methods = list(dict.fromkeys(results["method"]))
    check_same_subjects(results, methods)
    comparison = Comparison(evaluation)
    pooled_only = {name for name in results["metric"].unique() if not _has_mean(results, name)}

    def figure(method: str, column: Column) -> tuple[str, str, str, str]:
        chosen = protocol if column.protocol == CHOSEN else column.protocol
        return method, column.metric, chosen, POOLED if column.metric in pooled_only else aggregation

    ranking = next(c for c in COLUMNS if c.name == metric)
    values = {method: comparison.over_seeds(figure(method, ranking)).value for method in methods}
    ranked = sorted(methods, key=lambda method: (np.isnan(values[method]), -np.nan_to_num(values[method])))
    rows = []
    for rank, method in enumerate(ranked, start=1):
        own = results[results["method"] == method]
        row = {"rank": rank, "method": method, "baseline": method in baselines, "seeds": own["seed"].nunique()}
        row["subjects"] = own.loc[own["aggregation"] == SUBJECT, "subject"].nunique()
        for column in COLUMNS:
            row |= _spread(column.name, comparison.over_seeds(figure(method, column)))
        difference = Estimate(np.nan, np.nan, np.nan)
        if method != ranked[0]:
            difference = comparison.difference(figure(method, ranking), figure(ranked[0], ranking))
        rows.append(row | _spread("difference", difference) | shared)
    return pd.DataFrame(rows)


def label_cost(
    evaluation: Evaluation, *, aggregation: str = POOLED, order: Sequence[str] | None = None
) -> pd.DataFrame:
    """Set the Dice of every threshold chosen beforehand beside ⌈Dice⌉: what not having labels costs.

    Parameters
    ----------
    evaluation : Evaluation
        Of one cohort and one scope.
    aggregation : str
        ``"pooled"`` or ``"mean"`` (over subjects), of the Dice.
    order : sequence of str, optional
        Methods, in the order of the rows; otherwise as they come.

    Returns
    -------
    pandas.DataFrame
        A row per method and protocol: ``method, protocol, dice, best_dice, difference`` (Dice minus ⌈Dice⌉, paired),
        each with ``_low`` and ``_high`` beside it; ``false_positive_ml`` (with its interval), the volume marked in
        held-out scans without a lesion, ``stated_ml``, what the threshold was chosen for, and ``ratio``, measured over
        stated; NaN where there is none.
    """
    results, comparison = evaluation.results, Comparison(evaluation)
    stated = results.loc[results["metric"] == "chosen_false_positive_volume", "value"].mean()
    rows = []
    for method in order or list(dict.fromkeys(results["method"])):
        best = (method, "best_dice", ORACLE, aggregation)
        for protocol in MASK_PROTOCOLS:
            figure = (method, "dice", protocol, aggregation)
            if figure not in comparison.values:
                continue
            volume = comparison.over_seeds((method, "false_positive_volume", protocol, POOLED))
            chosen_for = stated if protocol == HEALTHY_VOLUME else np.nan
            rows.append(
                {"method": method, "protocol": protocol}
                | _spread("dice", comparison.over_seeds(figure))
                | _spread("best_dice", comparison.over_seeds(best))
                | _spread("difference", comparison.difference(figure, best))
                | _spread("false_positive_ml", volume)
                | {"stated_ml": chosen_for, "ratio": volume.value / chosen_for}
            )
    return pd.DataFrame(rows)


def clear_best(board: pd.DataFrame, column: str) -> str | None:
    """Name the method whose value is highest, if its interval lies wholly above every other's.

    Parameters
    ----------
    board : pandas.DataFrame
        From :func:`leaderboard`.
    column : str
        Name of one of :data:`COLUMNS`.

    Returns
    -------
    str or None
        None where the intervals touch, or there is just one method, or an interval is unknown.
    """
    ordered = board.dropna(subset=[column]).sort_values(column, ascending=False)
    if len(ordered) < 2:
        return None
    apart = (ordered.iloc[0][f"{column}_low"] > ordered.iloc[1:][f"{column}_high"]).all()
    return str(ordered.iloc[0]["method"]) if apart else None


def by_pathology(
    results: pd.DataFrame, *, metric: str = "average_precision", protocol: str = "", draws: int = DRAWS, seed: int = 0
) -> pd.DataFrame:
    """Average a metric over the subjects of each pathology.

    Parameters
    ----------
    results : pandas.DataFrame
        Table ``results`` of an evaluation, of one cohort and one scope.
    metric, protocol : str
        Which figure.
    draws, seed : int
        Bootstrap draws of the subjects within a pathology.

    Returns
    -------
    pandas.DataFrame
        ``method, pathology, subjects, value, low, high``. A subject's figure is its mean over seeds; subjects without
        a defined one (no lesion) are left out, and so are pathologies without a subject. Fewer than two subjects
        have no interval.
    """
    own = results[
        (results["aggregation"] == SUBJECT) & (results["metric"] == metric) & (results["protocol"] == protocol)
    ]
    own = own.dropna(subset=["value"])
    each = own.groupby(["method", "pathology", "subject"], sort=False, as_index=False)["value"].mean()
    rows = []
    for (method, pathology), group in each.groupby(["method", "pathology"], sort=False):
        values = group["value"].to_numpy()
        low, high = np.nan, np.nan
        if len(values) > 1:
            weights = subject_weights(len(values), draws=draws, seed=seed)
            low, high = interval(ratio_draws(values, np.ones(len(values)), weights), subjects=len(values))
        common = {"method": method, "pathology": pathology, "subjects": len(values)}
        rows.append(common | {"value": values.mean(), "low": low, "high": high})
    return pd.DataFrame(rows, columns=["method", "pathology", "subjects", "value", "low", "high"])


def _shared(evaluation: Evaluation, metric: str) -> dict[str, object]:
    """Columns that are the same in all rows; refuse what must not stand in one table."""
    results = evaluation.results
    shared: dict[str, object] = {}
    for column in ("cohort", "scope"):
        found = sorted(results[column].unique())
        if len(found) != 1:
            raise InputError(f"leaderboard: expected results of one {column}, found {found}; select one of them")
        shared[column] = found[0]
    known = [c.name for c in COLUMNS]
    if metric not in known:
        raise InputError(f"leaderboard: metric {metric!r}: expected one of {', '.join(known)}")
    for name, column in (("prevalence", "prevalence"), ("chosen_false_positive_rate", "false_positive_rate")):
        shared[column] = results.loc[results["metric"] == name, "value"].mean()
    return shared | {"ranked_by": metric}


def _has_mean(results: pd.DataFrame, metric: str) -> bool:
    """Whether a metric has a mean over subjects."""
    return bool((results.loc[results["metric"] == metric, "aggregation"] == MEAN).any())


def _spread(name: str, estimate: Estimate) -> dict[str, float]:
    """Three columns of one estimate."""
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
