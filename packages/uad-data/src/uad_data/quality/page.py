"""``quality.html``: every scan of a prepared cohort on one page that needs nothing but a browser."""

import base64
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from uad_data.atomic import atomic_path
from uad_data.cohort import Cohort
from uad_data.errors import InputError
from uad_data.quality.mosaic import Mosaic, draw_scan
from uad_data.quality.outliers import (
    SEPARATOR,
    Limits,
    flag_outliers,
    prepared_cohort,
    read_quality,
    read_sidecar,
    write_table,
)

# Name, name on a card, how a value is written, and what the page's script calls it.
_SHOWN = {
    "dice_to_template": ("Dice to template", "Dice", "{:.3f}", "dice"),
    "brain_ml": ("Brain volume", "Brain", "{:.0f} ml", "volume"),
    "snr": ("SNR", "SNR", "{:.1f}", "snr"),
    "coverage": ("Coverage", "Coverage", "{:.1%}", "coverage"),
    "contrast": ("Contrast", "Contrast", "{:.2f}", "contrast"),
}
_FAILED = ("subject", "session", "error")
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"

Job = tuple[str, str, str | None]
Record = dict[str, Any]


def write_quality(
    prepared: str | Path,
    out: str | Path | None = None,
    *,
    limits: Limits | None = None,
    workers: int = 1,
    progress: bool = True,
) -> pd.DataFrame:
    """Write the page of a prepared cohort, and its table beside it.

    Parameters
    ----------
    prepared : str or Path
        The folder that ``uad-data prepare`` wrote.
    out : str or Path, optional
        The page, ending in ``.html``; by default ``quality.html`` in the folder. The table has the same name with
        ``.csv``.
    limits : Limits, optional
        Where a scan is flagged; by default for adults.
    workers : int, default: 1
        Processes that draw at once; the page is the same for any number.
    progress : bool, default: True
        Show a bar on a terminal.

    Returns
    -------
    DataFrame
        The table that was written, see `flag_outliers`. A scan whose files cannot be read is flagged.

    Raises
    ------
    InputError
        No prepared cohort, a record that cannot be read, a page that does not end in ``.html``, or no worker.
    """
    prepared = Path(prepared)
    out = prepared / "quality.html" if out is None else Path(out)
    limits = limits or Limits()
    if out.suffix != ".html":
        raise InputError(f"{out}: expected a name that ends in .html for the page, found {out.name!r}")
    if workers < 1:
        raise InputError(f"workers: expected 1 or more, found {workers}")
    cohort = prepared_cohort(prepared)
    table = flag_outliers(read_quality(prepared), limits)
    records = [read_sidecar(prepared, sidecar) for sidecar in cohort.table["sidecar"]]
    pictures: list[Mosaic | str] = list(
        tqdm(
            _drawn(_jobs(cohort, records), workers),
            total=len(table),
            desc="drawing scans",
            unit="scan",
            disable=None if progress else True,
        )
    )
    for row, picture in enumerate(pictures):
        if isinstance(picture, str):
            table.loc[row, "flagged"] = True
            table.loc[row, "flags"] = SEPARATOR.join(filter(None, ("The scan cannot be read", table.loc[row, "flags"])))
    write_table(table, out.with_suffix(".csv"))
    text = _page(prepared, records[0], table, pictures, limits)
    with atomic_path(out) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return table


def _jobs(cohort: Cohort, records: Sequence[Record]) -> list[Job]:
    """Name the files that each picture is made of: the scan's first sequence and its brain."""
    return [
        (
            cohort.source(i, f"image_{cohort.row_modalities(i)[0]}"),
            cohort.source(i, "brain"),
            record.get("template") or None,
        )
        for i, record in enumerate(records)
    ]


def _drawn(jobs: Sequence[Job], workers: int) -> Iterator[Mosaic | str]:
    """Draw the scans in their order."""
    if workers == 1:
        yield from map(_draw, jobs)
        return
    # A forked copy of a process that runs threads can hang; a spawned one cannot.
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(_draw, jobs)


def _draw(job: Job) -> Mosaic | str:
    """Draw one scan, or say why not."""
    try:
        return draw_scan(*job)
    except InputError as error:
        return str(error)


def _page(prepared: Path, record: Record, table: pd.DataFrame, pictures: Sequence[Mosaic | str], limits: Limits) -> str:
    """Put the page together."""
    outlines = {picture.template for picture in pictures if isinstance(picture, Mosaic) and picture.template}
    shared = {path: f"t{number}" for number, path in enumerate(sorted(outlines))}
    # Scans to look at come first, the worst fit at their head.
    order = table.sort_values(["flagged", "dice_to_template"], ascending=[False, True], kind="stable").index
    rows = table.to_dict(orient="records")
    cards = "".join(_card(rows[i], i, rank, pictures[i], shared) for rank, i in enumerate(order))
    symbols = "".join(f'<path id="{name}" class="outline" d="{path}"/>' for path, name in shared.items())
    asset = files("uad_data.quality")
    css, script = (asset.joinpath(name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f"<title>Quality control: {escape(prepared.resolve().name)}</title>\n<style>\n{css}</style>\n</head>\n<body>\n"
        f"{_header(prepared, record, table)}{_strips(rows, limits)}</header>\n{_controls(table, bool(shared))}"
        f'<svg width="0" height="0" style="position:absolute" aria-hidden="true"><defs>{symbols}</defs></svg>\n'
        f"<main>\n{cards}</main>\n<script>\n{script}</script>\n</body>\n</html>\n"
    )


def _header(prepared: Path, record: Record, table: pd.DataFrame) -> str:
    """Say what the cohort is, how many scans are odd, and which failed and why; the header stays open."""
    failed = _failed(prepared)
    recipe = record.get("recipe") or {}
    about = [f"recipe {recipe['name']}" if recipe.get("name") else ""]
    about += [f"template {Path(record['template']).name}" if record.get("template") else "no template"]
    about += [f"{name} {version}" for name, version in (record.get("versions") or {}).items() if name == "uad-data"]
    tiles = [
        ("scans", len(table), ""),
        ("flagged", int(table["flagged"].sum()), "warn"),
        ("failed", len(failed), "bad"),
    ]
    shown = "".join(
        f'<div class="tile {kind if count else ""}"><b>{count}</b>{name}</div>' for name, count, kind in tiles
    )
    text = (
        f"<header>\n<h1>Quality control: {escape(prepared.resolve().name)}</h1>\n"
        f'<div class="soft">{escape(" · ".join(part for part in about if part))}</div>\n'
        f'<div class="tiles">{shown}</div>\n'
    )
    if len(failed):
        items = "".join(
            f"<li><b>{escape(_name(row))}</b>: {escape(row['error'])}</li>" for row in failed.to_dict(orient="records")
        )
        openly = " open" if len(failed) <= 5 else ""
        text += f'<details class="panel"{openly}><summary>Failed: not prepared</summary><ul>{items}</ul></details>\n'
    return text


def _failed(prepared: Path) -> pd.DataFrame:
    """Read the scans that could not be prepared."""
    path = prepared / "failed.csv"
    if not path.is_file():
        return pd.DataFrame(columns=list(_FAILED))
    try:
        failed = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
    except ValueError as error:
        raise InputError(f"{path}: expected a table of failed scans, found none ({error}); prepare again") from error
    if set(_FAILED) - set(failed):
        raise InputError(f"{path}: expected the columns {', '.join(_FAILED)}, found {', '.join(failed)}; prepare again")
    return failed


def _strips(rows: Sequence[Record], limits: Limits) -> str:
    """Draw one line per measure with a dot per scan."""
    bounds = {"dice_to_template": (limits.dice,), "brain_ml": limits.brain_ml, "coverage": (limits.coverage,)}
    lines = "".join(_strip(name, rows, bounds.get(name, ())) for name in _SHOWN)
    note = "A dot is a scan; click it to see the scan. Thin line: median. Dashed line: limit."
    return f'<section class="panel">{lines}<div class="soft">{note}</div></section>\n' if lines else ""


def _strip(name: str, rows: Sequence[Record], bounds: Sequence[float]) -> str:
    """Draw the line of one measure; limits are shown where they lie among the scans."""
    values = np.array([row[name] for row in rows], float)
    there = [int(i) for i in np.flatnonzero(np.isfinite(values))]
    if not there:
        return ""
    title, _, form, _ = _SHOWN[name]
    low, high = values[there].min(), values[there].max()

    def place(value: float) -> str:
        return f"left:{100 * (value - low) / (high - low) if high > low else 50:.1f}%"

    marks = "".join(f'<i class="limit" style="{place(value)}"></i>' for value in bounds if low < value < high)
    dots = "".join(
        f'<a href="#s{i}" tabindex="-1" style="{place(values[i])}"{_odd(name, rows[i])} '
        f'title="{escape(_name(rows[i]))}: {form.format(values[i])}"></a>'
        for i in there
    )
    return (
        f'<div class="strip"><b class="name">{title}</b><span class="soft low">{form.format(low)}</span>'
        f'<div class="axis" aria-hidden="true"><i style="{place(float(np.median(values[there])))}"></i>{marks}{dots}'
        f'</div><span class="soft high">{form.format(high)}</span></div>'
    )


def _controls(table: pd.DataFrame, template: bool) -> str:
    """Write the bar that sorts, filters and explains the colours; the script shows it."""
    options = "".join(
        f'<option value="{key}">{title}</option>'
        for name, (title, _, _, key) in _SHOWN.items()
        if table[name].notna().any()
    )
    outline = '<label><input type="checkbox" id="{0}" checked><span class="key {0}"></span>{1}</label>'
    keys = outline.format("brain", "brain mask")
    if template:
        keys += outline.format("template", "template’s brain")
    return (
        '<nav hidden><div><label>Sort by <select id="sort"><option value="first">flagged first</option>'
        f'<option value="name">subject</option>{options}</select></label><button id="order" type="button"></button>'
        f'<label><input type="checkbox" id="flagged">flagged only</label>{keys}'
        '<span class="soft">R: the person’s right</span><span class="soft" id="count" aria-live="polite"></span>'
        "</div></nav>\n"
    )


def _card(row: Record, number: int, rank: int, picture: Mosaic | str, shared: dict[str, str]) -> str:
    """Write one scan: its picture, its measures, and what is odd about it."""
    data, measures = "", ""
    for name, (title, short, form, key) in _SHOWN.items():
        known = np.isfinite(row[name])
        data += f' data-{key}="{row[name]:.6g}"' if known else f' data-{key}=""'
        if known:
            measures += f'<div><dt title="{title}">{short}</dt><dd{_odd(name, row)}>{form.format(row[name])}</dd></div>'
    flags = "".join(f"<li>{escape(sentence)}</li>" for sentence in row["flags"].split(SEPARATOR) if sentence)
    flags = f'<ul class="flags">{flags}</ul>' if flags else ""
    name = escape(_name(row))
    return (
        f'<article class="card{" flagged" if row["flagged"] else ""}" id="s{number}" data-first="{rank}" '
        f'data-name="{name}"{data}><h2>{name}</h2>{_picture(picture, name, shared)}'
        f"<dl>{measures}</dl>{flags}</article>\n"
    )


def _picture(picture: Mosaic | str, name: str, shared: dict[str, str]) -> str:
    """Write the slices with both outlines, or why there are none."""
    if isinstance(picture, str):
        return f'<div class="unread">{escape(picture)}</div>'
    slices = base64.b64encode(picture.jpeg).decode("ascii")
    marks = "".join(f'<text x="{x + 4}" y="{y}">R</text>' for x, y in picture.marks)
    template = f'<use href="#{shared[picture.template]}" class="template"/>' if picture.template else ""
    return (
        f'<svg viewBox="0 0 {picture.width} {picture.height}" role="img" aria-label="Slices of {name}">'
        f'<image width="{picture.width}" height="{picture.height}" href="data:image/jpeg;base64,{slices}"/>'
        f'<path class="outline brain" d="{picture.brain}"/>{template}{marks}</svg>'
    )


def _odd(name: str, row: Record) -> str:
    """Mark a measure that the scan is flagged for."""
    return ' class="odd"' if name in row["odd"].split() else ""


def _name(row: Record) -> str:
    """Name a scan."""
    return f"{row['subject']} {row['session']}".strip()
