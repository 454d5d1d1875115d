"""Tables that papers print, beside the same figures measured here."""

from collections.abc import Mapping

import pandas as pd

from uad_eval.comparison import Comparison, over_seeds
from uad_eval.errors import InputError
from uad_eval.protocols import LESION_VALIDATION, ORACLE, PER_IMAGE
from uad_eval.results import POOLED, SUBJECT, Evaluation

#: Lambert, Louis, Doyle, Forbes, Dojat, Tucholka, "Leveraging 3D information in unsupervised brain MRI segmentation",
#: ISBI 2021 (https://arxiv.org/abs/2101.10674), Table 1. Their white-matter hyperintensities, of people with multiple
#: sclerosis for the most part, stand beside "ms".
LAMBERT2021 = pd.DataFrame(
    [
        ("ms", "Spatial 2D", 0.280, 0.174, 0.986, 0.547, 0.049),
        ("ms", "Spatial 3D", 0.336, 0.203, 0.989, 0.605, 0.056),
        ("ms", "Dense 2D", 0.460, 0.262, 0.994, 0.604, 0.102),
        ("ms", "Dense 3D", 0.463, 0.259, 0.996, 0.511, 0.104),
        ("tumour", "Spatial 2D", 0.260, 0.121, 0.912, 0.376, 0.079),
        ("tumour", "Spatial 3D", 0.386, 0.160, 0.898, 0.655, 0.065),
        ("tumour", "Dense 2D", 0.618, 0.167, 0.978, 0.676, 0.133),
        ("tumour", "Dense 3D", 0.650, 0.190, 0.981, 0.711, 0.151),
    ],
    columns=["cohort", "method", "dice", "dice_sd", "specificity", "sensitivity", "mae"],
)

#: Gubaidullin, "Unsupervised anomaly segmentation in brain MR images using context variational autoencoder" (University
#: of Bonn, BraTS 2019), Table 3: IoU by method.
GUBAIDULLIN2019 = {"dae": 0.326, "cvae": 0.417, "dcvae": 0.392}

_LAMBERT = {"dice": "Dice", "specificity": "Spe", "sensitivity": "Sen", "mae": "MAE"}


def over_people(evaluation: Evaluation, metrics: Mapping[str, str]) -> pd.DataFrame:
    """Give mean and standard deviation over people.

    Parameters
    ----------
    evaluation : Evaluation
        Of one scope; a person's figure is the mean over the seeds.
    metrics : mapping of str to str
        Metric to the threshold protocol of its rows, ``""`` for one without.

    Returns
    -------
    pandas.DataFrame
        A row per cohort and method, in the order in which they come: ``cohort, method, people``, and for each metric
        its mean under its own name and ``<metric>_sd``, divided by one less than the number of people who have it.

    Raises
    ------
    InputError
        There is no such figure.
    """
    results = evaluation.results[evaluation.results["aggregation"] == SUBJECT]
    columns: dict[str, pd.Series] = {}
    for metric, protocol in metrics.items():
        own = results[(results["metric"] == metric) & (results["protocol"] == protocol)]
        if own.empty:
            under = f" under protocol {protocol!r}" if protocol else ""
            raise InputError(f"metric {metric!r}{under}: expected figures of single people, found none")
        each = own.groupby(["cohort", "method", "subject"], sort=False)["value"].mean()
        over = each.groupby(["cohort", "method"], sort=False)
        columns |= {metric: over.mean(), f"{metric}_sd": over.std(), "people": over.size()}
    table = pd.DataFrame(columns).reset_index()
    order = ["cohort", "method", "people", *(name for metric in metrics for name in (metric, f"{metric}_sd"))]
    return table[order]


def lambert_table(evaluation: Evaluation) -> pd.DataFrame:
    """Set Table 1 of Lambert et al. beside the same figures measured here.

    Parameters
    ----------
    evaluation : Evaluation
        Of `uad_eval.experiment.run_latent_shapes`: cohorts are pathologies, methods networks.

    Returns
    -------
    pandas.DataFrame
        As text, a row per pathology and network: people, Dice with its standard deviation over people, specificity,
        sensitivity and mean absolute error, each followed by the published figure, a dash where there is none; last,
        over all voxels, the Dice at the best of all thresholds (the test oracle) and the average precision.
    """
    found = over_people(evaluation, {metric: LESION_VALIDATION for metric in _LAMBERT if metric != "mae"} | {"mae": ""})
    both = found.merge(LAMBERT2021, on=["cohort", "method"], how="left", suffixes=("", "_paper"))
    columns = {"lesions": both["cohort"], "network": both["method"], "people": both["people"]}
    for metric, heading in _LAMBERT.items():
        for suffix, of in (("", heading), ("_paper", f"{heading}, paper")):
            spread = both[f"{metric}_sd{suffix}"] if metric == "dice" else None
            columns[of] = _written(both[f"{metric}{suffix}"], spread)
    for heading, metric, protocol in (("⌈Dice⌉", "best_dice", ORACLE), ("AP", "average_precision", "")):
        pairs = zip(both["cohort"], both["method"], strict=True)
        cohorts = {cohort: Comparison(evaluation.select(cohort=cohort)) for cohort in dict.fromkeys(both["cohort"])}
        found = [cohorts[cohort].over_seeds((method, metric, protocol, POOLED)).value for cohort, method in pairs]
        columns[heading] = _written(pd.Series(found), None)
    return pd.DataFrame(columns)


def iou_table(evaluation: Evaluation, published: Mapping[str, float], *, cohort: str) -> pd.DataFrame:
    """Set a paper's IoU beside that of the same methods on the masks of each image's own threshold.

    Parameters
    ----------
    evaluation : Evaluation
        Of `uad_eval.experiment.run_image_masks`.
    published : mapping of str to float
        Method to IoU.
    cohort : str
        Which of its pathologies.

    Returns
    -------
    pandas.DataFrame
        As text, a row per method: people; IoU over all voxels with its 95 % interval; its mean over people with its
        standard deviation; the published one; the IoU that the best of all thresholds on the plain residual would give
        (the test oracle); average precision of the plain residual.
    """
    own, rows = evaluation.select(cohort=cohort), []
    spread = over_people(own, {"iou": PER_IMAGE}).set_index("method")
    for method, mean in spread.iterrows():
        pooled = over_seeds(own, str(method), metric="iou", protocol=PER_IMAGE)
        best = over_seeds(own, str(method), metric="best_dice", protocol=ORACLE).value
        precision = over_seeds(own, str(method), metric="average_precision")
        rows.append(
            {
                "method": method,
                "people": mean["people"],
                "IoU, all voxels": f"{pooled.value:.3f} [{pooled.low:.3f}, {pooled.high:.3f}]",
                "IoU, mean over people": f"{mean['iou']:.3f} ± {mean['iou_sd']:.3f}",
                "IoU, paper": f"{published[str(method)]:.3f}" if method in published else "–",
                "⌈IoU⌉ of the residual": f"{best / (2 - best):.3f}",
                "AP of the residual": f"{precision.value:.3f} [{precision.low:.3f}, {precision.high:.3f}]",
            }
        )
    return pd.DataFrame(rows)


def _written(values: pd.Series, spread: pd.Series | None) -> list[str]:
    """Write figures with three digits, a dash for what there is not."""
    text = ["–" if pd.isna(value) else f"{value:.3f}" for value in values]
    if spread is None:
        return text
    return [t if pd.isna(sd) else f"{t} ± {sd:.3f}" for t, sd in zip(text, spread, strict=True)]
