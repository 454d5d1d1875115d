"""Tables 6.1, 6.2 and 6.4 of the CT thesis beside the same figures measured here.

Source: A. Ravi Venkatakrisnan, "Self supervised out of distribution detection for medical applications", thesis, TU
München 2020, section 6.3: mean of five runs on 30 healthy people and 44 with a pathology, of one hospital's own data.
"""

import pandas as pd

#: Tables 6.1 (AUROC) and 6.2 (AUPR), positive class anomalous, and the mean Dice of Table 6.3, by method's name here.
THESIS2020 = pd.DataFrame(
    [
        ("vae_kl", 0.652, 0.668, 0.369, 0.704, 0.110),
        ("cevae", 0.741, 0.766, 0.471, 0.640, 0.112),
        ("context_restoration", 0.795, 0.636, 0.663, 0.758, 0.085),
        ("vae_pretrained", 0.803, 0.673, 0.638, 0.772, 0.112),
        ("multitask", 0.783, 0.822, 0.646, 0.868, 0.086),
    ],
    columns=["method", "auroc_slice", "auroc_clinical", "aupr_slice", "aupr_clinical", "dice"],
).set_index("method")

#: Table 6.4: slice-wise AUROC by pathology.
THESIS2020_PATHOLOGIES = pd.DataFrame(
    {
        "context_restoration": (0.841, 0.760, 0.951, 0.783, 0.915, 0.775, 0.848),
        "vae_pretrained": (0.895, 0.774, 0.944, 0.710, 0.910, 0.794, 0.843),
        "multitask": (0.840, 0.760, 0.956, 0.583, 0.903, 0.788, 0.828),
    },
    index=["aneurysm", "atrophy", "bleed", "cavernoma", "intracranial_bleeding", "ischaemia", "tumour"],
)

_HEADINGS = {"slice": "slices", "clinical": "clinical slices", "scan": "scans"}
_SHORT = {"auroc": "AUROC", "aupr": "AUPR"}


def thesis_table(figures: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Set Table 6.1 or 6.2 beside the figures measured here.

    Parameters
    ----------
    figures : pandas.DataFrame
        From `uad_eval.sample_protocols.sample_figures`, of any number of methods and seeds.
    metric : {"auroc", "aupr"}

    Returns
    -------
    pandas.DataFrame
        As text, a row per method and score: by slices and by clinical slices the mean over seeds (± standard deviation
        where there are several, else the 95 % interval over people) and the published figure beside it, a dash where
        there is none; by scans; and the share of positives, which is AUPR's chance level.
    """
    rows = []
    for (method, score), own in figures.groupby(["method", "score"], sort=False):
        row = {"method": method, "score": score}
        for protocol, heading in _HEADINGS.items():
            these = own[own["protocol"] == protocol]
            row[f"{_SHORT[metric]}, {heading}"] = _written(these, metric)
            column, name = f"{metric}_{protocol}", method.partition(":")[0]
            if column in THESIS2020:
                known = name in THESIS2020.index and score in ("its own", "combined")
                row[f"{heading}, thesis"] = f"{THESIS2020.loc[name, column]:.3f}" if known else "–"
            if metric == "aupr":
                first = these.iloc[0]
                row[f"{heading}, chance"] = f"{first['positives'] / (first['positives'] + first['negatives']):.3f}"
        rows.append(row)
    return pd.DataFrame(rows)


def thesis_pathologies(figures: pd.DataFrame) -> pd.DataFrame:
    """Set Table 6.4 beside the figures measured here.

    Parameters
    ----------
    figures : pandas.DataFrame
        From `uad_eval.sample_protocols.pathology_figures`, with a column ``method``.

    Returns
    -------
    pandas.DataFrame
        As text, a row per pathology: slices with a lesion, and by method the mean over seeds and the published figure.
    """
    columns: dict[str, pd.Series] = {"slices": figures.groupby("pathology")["slices"].first().astype(str)}
    for method, own in figures.groupby("method", sort=False):
        columns[str(method)] = own.groupby("pathology")["auroc"].mean().map("{:.3f}".format)
        name = str(method).partition(":")[0]
        if name in THESIS2020_PATHOLOGIES:
            columns[f"{method}, thesis"] = THESIS2020_PATHOLOGIES[name].map("{:.3f}".format)
    table = pd.DataFrame(columns)
    return table[table["slices"].notna()].fillna("–").rename_axis("pathology").reset_index()


def _written(rows: pd.DataFrame, metric: str) -> str:
    """Write the mean over seeds with its spread, or one seed's figure with its interval."""
    if len(rows) > 1:
        return f"{rows[metric].mean():.3f} ± {rows[metric].std():.3f}"
    first = rows.iloc[0]
    return f"{first[metric]:.3f} [{first[f'{metric}_low']:.3f}, {first[f'{metric}_high']:.3f}]"
