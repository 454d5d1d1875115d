"""A figure on a page, with what it draws below it to be saved: one piece of HTML that loads nothing."""

import base64
import bz2
import io
import math
from collections.abc import Mapping
from html import escape

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from uad_eval.errors import InputError
from uad_eval.plots.style import DPI

_COMPRESSED = 100_000  # characters of CSV; more are sent compressed
_DIGITS = "%.4g"
# Half the effort that Pillow takes by default: a tenth larger, in two thirds of the time.
_LOSSLESS = {"lossless": True, "method": 2, "quality": 20}


def figure_html(figure: Figure, data: pd.DataFrame, *, name: str, index: bool = False) -> str:
    """Write a figure as HTML, with a link below it that saves its data.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        Becomes a lossless WebP inside the page, which is half the size of a PNG.
    data : pandas.DataFrame
        What it draws. Columns with one value throughout are kept.
    name : str
        Of the file without its ending, and what is read out for the picture. The file is ``name.csv``, or
        ``name.csv.bz2`` where the table is long.
    index : bool
        Whether the index is a column of the file.

    Returns
    -------
    str
        A ``<figure>``; nothing is loaded, and there is no script.
    """
    text = data.to_csv(index=index, float_format=_DIGITS)
    long = len(text) > _COMPRESSED
    # A quarter smaller than gzip for a gallery's pixels, which are the larger part of a page.
    content = bz2.compress(text.encode("utf-8")) if long else text.encode("utf-8")
    file, kind = (f"{name}.csv.bz2", "application/x-bzip2") if long else (f"{name}.csv", "text/csv")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="webp", dpi=DPI, pil_kwargs=_LOSSLESS)
    picture = base64.b64encode(buffer.getvalue()).decode("ascii")
    link = f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
    words = f"Data of this figure: {file}, {len(data)} rows, {max(1, round(len(content) / 1000))} kB"
    told = escape(name.replace("-", " "))
    return (
        f'<figure class="uad-figure"><img alt="{told}" src="data:image/webp;base64,{picture}">'
        f'<figcaption><a download="{escape(file)}" href="{link}">{escape(words)}</a></figcaption></figure>'
    )


def pixel_table(arrays: Mapping[str, ArrayLike], *, brain: ArrayLike, titles: list[str] | None = None) -> pd.DataFrame:
    """List the pixels of pictures, for the data of a gallery.

    Parameters
    ----------
    arrays : mapping of str to array_like, shape (n, h, w)
        Name of a column to values.
    brain : array_like of bool, shape (n, h, w)
        Only its pixels are listed.
    titles : list of str, optional
        Names of the cases, lines joined by commas; otherwise they are numbered from 0.

    Returns
    -------
    pandas.DataFrame
        ``case, row, column`` and a column per array; truth values as 0 and 1, others to a thousandth of their greatest
        power of ten.

    Raises
    ------
    InputError
        Shapes differ.
    """
    brain = np.asarray(brain, bool)
    case, row, column = np.nonzero(brain)
    names = np.arange(len(brain)) if titles is None else np.array([", ".join(title.split("\n")) for title in titles])
    table = {"case": names[case], "row": row, "column": column}
    for name, values in arrays.items():
        values = np.asarray(values)
        if values.shape != brain.shape:
            raise InputError(f"{name}: expected the shape of the brain {brain.shape}, found {values.shape}")
        inside = values[brain]
        if values.dtype == bool:
            table[name] = inside.astype(np.uint8)
            continue
        greatest = float(np.abs(inside).max(initial=0.0))
        table[name] = inside.astype(np.float64).round(3 - math.floor(math.log10(greatest)) if greatest else 0)
    return pd.DataFrame(table)
