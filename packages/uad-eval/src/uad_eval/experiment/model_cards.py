"""A card per method of an experiment: what it is, how it was trained here, what it can do and what it cannot.

After Mitchell et al., "Model cards for model reporting", FAT* 2019 (https://arxiv.org/abs/1810.03993). Every figure on
a card is read from the experiment's tables.
"""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from html import escape
from pathlib import Path

import numpy as np
import pandas as pd

from uad_data.atomic import atomic_path
from uad_eval.experiment.found_lesions import found_lesions
from uad_eval.experiment.grid import Experiment
from uad_eval.experiment.settings import MethodSpec
from uad_eval.experiment.training import resolved
from uad_eval.lesion_bands import band_labels
from uad_eval.lesionwise import BAND_EDGES_ML
from uad_eval.protocols import LABEL_FREE
from uad_eval.tables import by_pathology, label_cost, leaderboard
from uad_models import method_class

_USE = (
    "Research on anomaly detection, on scans of these sequences that are prepared as here. Not a medical device: no "
    "diagnosis and no decision about a patient may rest on it. Figures hold for people like those tested; measure "
    "again before use on any others."
)
_WHERE = ("accelerator", "devices", "workers")


def model_cards(experiment: Experiment) -> dict[str, str]:
    """Write a card for every method that came to its end.

    Parameters
    ----------
    experiment : Experiment
        A finished experiment.

    Returns
    -------
    dict of str to str
        Method as in the tables, in the order of the leaderboard, to its card as Markdown with a first-level heading.
    """
    evaluation = experiment.evaluation
    board = leaderboard(evaluation).set_index("method")
    pathologies, thresholds = by_pathology(evaluation.results), label_cost(evaluation)
    costs, lesions = experiment.costs(), found_lesions(experiment)
    cards = {}
    for method, row in board.iterrows():
        name = str(method)
        spec = next(cell.spec for cell in experiment.cells if str(cell.spec) == name)
        own = [table[table["method"] == name] for table in (pathologies, thresholds, costs, lesions)]
        parts = {
            "What it is": _about(spec),
            "Intended use": _USE,
            "Learned from": _learned_from(experiment, spec),
            "Figures": _figures(row, own[0]),
            "Thresholds without labels": _thresholds(own[1]),
            "Known limits": _limits(row, own[0], own[3], slices=len(experiment.settings.size) == 2),
            "Cost": _cost(own[2]),
            "Settings": _settings(experiment, spec),
        }
        cards[name] = f"# {name}\n\n" + "\n\n".join(
            f"**{title}.**{'' if text.startswith(chr(10)) else ' '}{text}" for title, text in parts.items() if text
        )
    return cards


def write_cards(cards: Mapping[str, str], folder: str | Path) -> list[Path]:
    """Write each card to ``<folder>/cards/<method>.md``.

    Parameters
    ----------
    cards : mapping of str to str
        From `model_cards`.
    folder : path
        Of the report.

    Returns
    -------
    list of Path
        The files.
    """
    paths = [Path(folder) / "cards" / f"{MethodSpec.parse(name).slug[:80]}.md" for name in cards]
    for path, text in zip(paths, cards.values(), strict=True):
        with atomic_path(path) as unfinished:
            unfinished.write_text(text + "\n", encoding="utf-8")
    return paths


def folded_cards(cards: Mapping[str, str]) -> str:
    """Fold the cards up for a page.

    Parameters
    ----------
    cards : mapping of str to str
        From `model_cards`.

    Returns
    -------
    str
        HTML, a ``<details>`` per card with its heading as the summary.
    """
    from nbconvert.filters import markdown2html

    parts = []
    for name, text in cards.items():
        _, _, body = text.partition("\n")
        parts.append(f"<details><summary>{escape(name)}</summary>{markdown2html(body)}</details>")
    return "\n".join(parts)


def _about(spec: MethodSpec) -> str:
    """First sentence and first source of the method's own file."""
    module = sys.modules[method_class(spec.name).__module__]
    paragraphs = re.split(r"\n\s*\n|\n-{3,}\n", (module.__doc__ or "").strip())
    paragraphs = [" ".join(text.split()) for text in paragraphs]
    about, source = paragraphs[0], ""
    for place, text in enumerate(paragraphs):
        if text.startswith(("Paper: ", "Papers: ")):
            source = text.partition(": ")[2]
        elif text == "Papers" and place + 1 < len(paragraphs):
            source = paragraphs[place + 1]
    source = source and f" Source: {source}"
    return f"{about}{source} All sources, equations and deviations: `{module.__name__}`."


def _learned_from(experiment: Experiment, spec: MethodSpec) -> str:
    """People, rows and sequences of the training."""
    settings = experiment.settings
    asked = f"{', '.join(settings.modalities)} of cohort {settings.cohort_name}"
    if not method_class(spec.name).trained:
        return f"Nothing: it is not trained. It was tested on {asked}."
    rows = [store.healthy_rows("train") for store in experiment.stores]
    people = [store.index["subject"].iloc[own].nunique() for store, own in zip(experiment.stores, rows, strict=True)]
    kind = "slices" if len(settings.size) == 2 else "volumes"
    each = f" in each of {len(rows)} folds" if len(rows) > 1 else ""
    return (
        f"{_span(list(map(len, rows)))} lesion-free {kind} of {_span(people)} people{each}: {asked}, "
        f"{' × '.join(map(str, settings.size))}, slices {settings.slices}, scaling {settings.scaling}; seeds "
        f"{', '.join(map(str, settings.seeds))}."
    )


def _figures(row: pd.Series, pathologies: pd.DataFrame) -> str:
    """Rank and figures of all test people, and of each pathology."""
    lines = [f"Rank {row['rank']}, {row['subjects']} test people, chance {row['prevalence']:.3f}."]
    table = [
        (heading, _interval(row[name], row[f"{name}_low"], row[f"{name}_high"]))
        for heading, name in (("AP, pooled", "average_precision"), ("AUROC, pooled", "auroc"), ("⌈Dice⌉", "best_dice"))
    ]
    table += [
        (
            f"AP, {each.pathology or 'unnamed'}, mean of {each.subjects} people",
            _interval(each.value, each.low, each.high),
        )
        for each in pathologies.sort_values("value", ascending=False).itertuples()
    ]
    return "\n\n".join([*lines, _table(("Figure", "Value, 95 % interval"), table)])


def _thresholds(own: pd.DataFrame) -> str:
    """Dice and false positives of the thresholds that saw no label."""
    rows = [
        (
            each.protocol.replace("_", " "),
            _interval(each.dice, each.dice_low, each.dice_high),
            _interval(each.false_positive_ml, each.false_positive_ml_low, each.false_positive_ml_high, places=2),
            "" if np.isnan(each.stated_ml) else f"{each.stated_ml:g}",
        )
        for each in own[own["protocol"].isin(LABEL_FREE)].itertuples()
    ]
    if not rows:
        return ""
    return "\n\n" + _table(("Threshold", "Dice", "Measured false positives, ml a scan", "Stated, ml"), rows)


def _limits(row: pd.Series, pathologies: pd.DataFrame, lesions: pd.DataFrame, *, slices: bool) -> str:
    """Say where it does worst, and how small a lesion it finds."""
    lines = []
    if len(pathologies) > 1:
        worst = pathologies.loc[pathologies["value"].idxmin()]
        lines.append(
            f"- Worst pathology: {worst['pathology'] or 'unnamed'}, AP {worst['value']:.3f}, mean of "
            f"{worst['subjects']} people."
        )
    if len(lesions):
        names = band_labels(BAND_EDGES_ML, " ml")
        band = np.searchsorted(BAND_EDGES_ML, lesions["volume_ml"] * (1 + 1e-6), side="right")
        share = lesions.groupby(band)["found"].agg(["mean", "size"])
        found = "; ".join(
            f"{names[int(number)]} {100 * each['mean']:.0f} % of {each['size']:.0f}"
            for number, each in share.iterrows()
        )
        smallest = lesions.loc[lesions["found"], "volume_ml"]
        least = f"The smallest one found has {smallest.min():.2g} ml." if len(smallest) else "None is found."
        shown = "Lesions, as each slice shows them," if slices else "Lesions"
        lines.append(f"- {shown} found at the healthy-validation threshold, by size: {found}. {least}")
    if row["average_precision_low"] <= row["prevalence"]:
        lines.append("- The interval of its average precision reaches down to chance.")
    lines.append(f"- Scope: {row['scope']}. Elsewhere nothing was measured.")
    return "\n\n" + "\n".join(lines)


def _cost(costs: pd.DataFrame) -> str:
    """Parameters, seconds and memory; of several trainings the mean."""
    mean = costs[["parameters", "train_seconds", "predict_seconds", "peak_memory"]].mean()
    return (
        f"{mean['parameters']:,.0f} parameters; {mean['train_seconds']:.0f} s to train, "
        f"{mean['predict_seconds']:.0f} s to predict, {mean['peak_memory']:.0f} MiB at most, on the machine named "
        "at the end of the report."
    )


def _settings(experiment: Experiment, spec: MethodSpec) -> str:
    """All settings; those that differ from the preset in bold, with the preset's beside."""
    settings = experiment.settings
    images, seed = experiment.store.spec, min(settings.seeds)
    method, train = resolved(MethodSpec(spec.name), images, replace(settings, budget=""), seed=seed)
    usual = method.config.to_dict() | asdict(train)
    cell = next(cell for cell in experiment.cells if cell.spec == spec)
    run = json.loads((cell.folds[0].run / "config.json").read_text())
    rows = []
    for name, value in {**run["config"], **run["train"]}.items():
        if name in _WHERE or name not in usual or (name in run["train"] and not method.trained):
            continue
        here, there = _plain(value), _plain(usual[name])
        rows.append((name, here, "") if here == there else (f"**{name}**", f"**{here}**", there))
    marked = sum(bool(there) for *_, there in rows)
    told = f"Preset {settings.preset}; {marked} settings differ from it, in bold with the preset's own beside."
    if not marked:
        told = f"As preset {settings.preset} has them."
    return f"{told}\n\n{_table(('Setting', 'Here', 'Preset'), rows)}"


def _plain(value: object) -> str:
    """Write a value as one line; tuples and lists alike, and an empty text as something to see."""
    text = " ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
    return text or "–"


def _span(numbers: Sequence[int]) -> str:
    """One number, or the least and the most."""
    low, high = min(numbers), max(numbers)
    return f"{low}" if low == high else f"{low} to {high}"


def _interval(value: float, low: float, high: float, *, places: int = 3) -> str:
    """Value with its interval, where it is known."""
    if np.isnan(value):
        return "–"
    return f"{value:.{places}f}" + ("" if np.isnan(low) else f" [{low:.{places}f}, {high:.{places}f}]")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(text.replace('|', '/') for text in line)} |" for line in lines)
