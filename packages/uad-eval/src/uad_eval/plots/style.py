"""One look for all figures: type, sizes, and colours that colour-blind readers can tell apart."""

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

#: Okabe and Ito's palette without its yellow, which is too pale for a line on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINES = ("-", "--", ":", "-.")
HEALTHY, ANOMALOUS, NEUTRAL = "#0072B2", "#D55E00", "#666666"
DPI = 110

_JOINTS = re.compile(r"(?<=[ :,])|(?<==)(?=[a-z/])|(?<=\w\+)")

_RC: dict[Any, Any] = {
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.labelsize": 11,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "legend.fontsize": 10,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "savefig.facecolor": "white",
}


class Picture(Figure):
    """A figure that a notebook shows without pyplot, so that none is left open."""

    def _repr_png_(self) -> bytes:
        return png(self)


def png(figure: Figure) -> bytes:
    """Render a figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    return buffer.getvalue()


@contextmanager
def look() -> Iterator[None]:
    """Draw with this package's settings, and leave the caller's as they were."""
    with mpl.rc_context(_RC):
        yield


def method_lines(methods: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Give each method a colour and a line style, by its place in the order."""
    return {
        method: (COLOURS[place % len(COLOURS)], LINES[place // len(COLOURS) % len(LINES)])
        for place, method in enumerate(methods)
    }


def wrapped(name: str, width: int = 32) -> str:
    """Break a name into lines: behind blanks and what joins a method's name with its settings, or else within a word.

    Parameters
    ----------
    name : str
        Line breaks that it has are kept.
    width : int
        Characters to a line.

    Returns
    -------
    str
    """
    lines = []
    for given in name.split("\n"):
        line = ""
        for part in re.findall(f".{{1,{width}}}", re.sub(_JOINTS, "\n", given)):
            if line and len(line) + len(part.rstrip()) > width:
                lines.append(line.rstrip())
                line = ""
            line += part
        lines.append(line)
    return "\n".join(lines)


def in_order(found: Sequence[str], order: Sequence[str] | None) -> list[str]:
    """Sort the methods found into a given order; those it does not name keep theirs and come last."""
    given = [name for name in order or () if name in found]
    return given + [name for name in dict.fromkeys(found) if name not in given]


def hide_spare(axes: Sequence[Axes], used: int) -> None:
    """Take away the panels of a grid that have nothing to show."""
    for axis in axes[used:]:
        axis.remove()
