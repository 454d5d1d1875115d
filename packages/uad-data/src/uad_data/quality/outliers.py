"""The table of a prepared cohort's measures, and which scans somebody should look at."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from uad_data.atomic import atomic_path
from uad_data.cohort import Cohort
from uad_data.errors import InputError

MEASURES = ("dice_to_template", "brain_ml", "snr", "coverage", "contrast")
SEPARATOR = "; "  # between two sentences of `flags`; none holds it
_FEWEST = 5  # scans that a spread is taken from
# How a measure is named, written with its unit, and what an outlier on either side often means; a side without a
# text is not flagged. Coverage has a hard limit alone: most scans of a cohort cover everything.
_ODD = {
    "dice_to_template": ("Dice to the template", "{:.2f}", "the registration or the brain mask may have failed", ""),
    "brain_ml": ("Brain volume", "{:.0f} ml", "the mask may have lost brain", "the mask may have kept skull or neck"),
    "snr": ("Signal-to-noise ratio", "{:.1f}", "look for noise or movement", "it may be smoothed"),
    "contrast": ("Tissue contrast", "{:.2f}", "look for movement or blur", "it may be another sequence"),
}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Where a scan is flagged.

    Parameters
    ----------
    brain_ml : tuple of float, default: (700, 2200)
        Least and greatest brain volume in ml; the default is wide for adults and wrong for infants.
    dice : float, default: 0.8
        Least Dice of the brain with the template's.
    coverage : float, default: 0.98
        Least share of the template's brain inside the scan's field of view.
    z : float, default: 3.5
        Greatest robust z-score within the cohort.

    Raises
    ------
    InputError
        A limit that no or every scan would break.
    """

    brain_ml: tuple[float, float] = (700.0, 2200.0)
    dice: float = 0.8
    coverage: float = 0.98
    z: float = 3.5

    def __post_init__(self) -> None:
        low, high = self.brain_ml
        if not 0 <= low < high:
            raise InputError(
                f"brain volume: expected two limits in ml, the lower one first; found {low:g} and {high:g}"
            )
        for name, value, top in (("Dice", self.dice, 1.0), ("coverage", self.coverage, 1.0), ("z", self.z, np.inf)):
            if not 0 <= value <= top:
                raise InputError(f"{name} limit: expected 0 to {top:g}, found {value:g}")


def read_quality(prepared: str | Path) -> pd.DataFrame:
    """Gather the measures of a prepared cohort.

    Parameters
    ----------
    prepared : str or Path
        The folder that ``uad-data prepare`` wrote.

    Returns
    -------
    DataFrame
        One row per scan of ``cohort.csv``, in its order: ``subject``, ``session``, the measures of
        `uad_data.quality.measure` (NaN where there is none), ``snr_source`` and ``touches_border``.

    Raises
    ------
    InputError
        The folder holds no prepared cohort, or a scan's ``prepare.json`` is missing or broken.
    """
    prepared = Path(prepared)
    cohort = prepared_cohort(prepared)
    rows = []
    for row in cohort.table.to_dict(orient="records"):
        quality = read_sidecar(prepared, row["sidecar"]).get("quality") or {}
        rows.append(
            {name: row[name] for name in ("subject", "session")}
            | {name: _number(quality.get(name)) for name in MEASURES}
            | {"snr_source": quality.get("snr_source") or "", "touches_border": bool(quality.get("touches_border"))}
        )
    return pd.DataFrame(rows)


def prepared_cohort(prepared: Path) -> Cohort:
    """Open the table of a prepared cohort.

    Parameters
    ----------
    prepared : Path
        The folder that ``uad-data prepare`` wrote.

    Returns
    -------
    Cohort
        With the column ``sidecar``.

    Raises
    ------
    InputError
        The folder holds no prepared cohort, or files of it are missing.
    """
    table = prepared / "cohort.csv"
    if not table.is_file():
        failed = " (every scan failed, see failed.csv)" if (prepared / "failed.csv").is_file() else ""
        raise InputError(
            f"{prepared}: expected a prepared cohort, found no cohort.csv{failed}; make one with 'uad-data prepare'"
        )
    cohort = Cohort.read(table)
    if "sidecar" not in cohort.table:
        raise InputError(
            f"{table}: expected a prepared cohort with the column sidecar, found "
            f"{', '.join(cohort.table)}; prepare the scans first with 'uad-data prepare'"
        )
    return cohort


def read_sidecar(prepared: Path, sidecar: str) -> dict[str, Any]:
    """Read a scan's ``prepare.json``.

    Parameters
    ----------
    prepared : Path
        The prepared cohort's folder.
    sidecar : str
        The cell of ``cohort.csv``.

    Returns
    -------
    dict

    Raises
    ------
    InputError
        The file is missing or is not a JSON object.
    """
    path = prepared / sidecar
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: expected the record of a prepared scan, found none ({error}); prepare it again"
        ) from error
    if not isinstance(record, dict):
        raise InputError(
            f"{path}: expected the record of a prepared scan, found {type(record).__name__}; prepare it again"
        )
    return record


def flag_outliers(table: pd.DataFrame, limits: Limits | None = None) -> pd.DataFrame:
    """Flag scans beyond a limit, or far from the rest of the cohort.

    Parameters
    ----------
    table : DataFrame
        From `read_quality`.
    limits : Limits, optional
        By default those for adults.

    Returns
    -------
    DataFrame
        The table with a robust z-score ``z_<measure>`` each (NaN where the cohort does not spread or is smaller than
        five), ``flagged`` (bool), ``odd`` (the measures it is flagged for, a blank between two) and ``flags``
        (a sentence for each, "; " between two).

    Notes
    -----
    The z-score is 0.6745 times the distance to the median over the median absolute deviation, and odd beyond 3.5:
    B. Iglewicz and D. Hoaglin, How to Detect and Handle Outliers, 1993. That of the SNR is taken among scans whose
    noise was measured in the same place.
    """
    limits = limits or Limits()
    table = table.copy()
    for name in _ODD:
        groups = table["snr_source"] if name == "snr" else pd.Series("", index=table.index)
        table[f"z_{name}"] = table[name].groupby(groups).transform(_robust_z)
    medians = table[list(_ODD)].median()
    sentences = []
    for row in table.to_dict(orient="records"):
        certain = _beyond_limits(row, limits)
        odd = _unlike_the_rest(row, medians, limits.z)
        sentences.append(certain | {name: sentence for name, sentence in odd.items() if name not in certain})
    table["flagged"] = [bool(found) for found in sentences]
    table["odd"] = [" ".join(found) for found in sentences]
    table["flags"] = [SEPARATOR.join(found.values()) for found in sentences]
    return table


def write_table(table: pd.DataFrame, path: str | Path) -> None:
    """Write the table as comma-separated values, whole or not at all.

    Parameters
    ----------
    table : DataFrame
        From `flag_outliers`.
    path : str or Path
        The file, ``quality.csv`` by habit.
    """
    with atomic_path(path) as temporary:
        table.round(4).to_csv(temporary, index=False, encoding="utf-8")


def _robust_z(values: pd.Series) -> pd.Series:
    """Distance to the median in robust standard deviations; NaN where too few values spread."""
    away = values - values.median()
    spread = away.abs().median()
    return 0.6745 * away / spread if values.count() >= _FEWEST and spread > 0 else away * np.nan


def _number(value: object) -> float:
    """Read a measure; NaN for none."""
    return float(value) if isinstance(value, int | float) else float("nan")


def _beyond_limits(row: dict[str, Any], limits: Limits) -> dict[str, str]:
    """Say which hard limits a scan breaks."""
    (low, high), found = limits.brain_ml, {}
    dice, volume, coverage = row["dice_to_template"], row["brain_ml"], row["coverage"]
    if dice < limits.dice:
        found["dice_to_template"] = (
            f"Dice to the template is {dice:.2f}, below {limits.dice:g}: "
            "the registration or the brain mask may have failed"
        )
    if volume < low:
        found["brain_ml"] = (
            f"Brain volume is {volume:.0f} ml, below {low:g} ml: the mask lost brain, or the scan is cut"
        )
    if volume > high:
        found["brain_ml"] = f"Brain volume is {volume:.0f} ml, above {high:g} ml: the mask kept skull or neck"
    if coverage < limits.coverage:
        found["coverage"] = (
            f"Only {coverage:.1%} of the template's brain lies in the field of view: the rest was not scanned"
        )
    if row["touches_border"]:
        found["touches_border"] = "The brain reaches the edge of the scan: some of it may not have been scanned"
    return found


def _unlike_the_rest(row: dict[str, Any], medians: pd.Series, most: float) -> dict[str, str]:
    """Say in which measures a scan lies far from the cohort."""
    found = {}
    for name, (title, form, low, high) in _ODD.items():
        z = row[f"z_{name}"]
        side, cause = ("low", low) if z < 0 else ("high", high)
        if abs(z) > most and cause:
            found[name] = (
                f"{title} is {form.format(row[name])}, unusually {side} for this cohort (median "
                f"{form.format(medians[name])}, robust z {z:+.1f}): {cause}".replace("z -", "z −")
            )
    return found
