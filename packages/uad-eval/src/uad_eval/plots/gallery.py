"""Galleries of slices: what a method saw, what it redrew, what it marked.

Slices come as in the ``Scan`` contract, first axis towards the front of the head, second towards the person's right.
They are shown as radiologists see them: front up, the person's right on the left of the picture.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Patch
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import binary_erosion

from uad_eval.errors import InputError
from uad_eval.plots.style import Picture, look, wrapped

HIT, FALSE_ALARM, MISSED = "#56B4E9", "#E69F00", "#CC79A7"
_INCH = 1.75  # side of a slice
_LINE, _FOOT, _BAR, _EDGE = 0.2, 0.45, 0.75, 0.1  # inches: a line of type, and what is around the grid


def gallery(
    images: ArrayLike,
    maps: ArrayLike,
    masks: ArrayLike,
    truths: ArrayLike,
    *,
    reconstructions: ArrayLike | None = None,
    brain: ArrayLike | None = None,
    titles: Sequence[str] = (),
) -> Figure:
    """Show cases as rows: scan, reconstruction, anomaly map, mask, truth, and mask against truth.

    Parameters
    ----------
    images, maps : array_like of float, shape (n, h, w)
        One slice and one channel per case. Scans are drawn from 0 to their own 99.5th percentile in the brain, their
        reconstructions on the same scale; maps from 0 to the 99.5th percentile over all cases.
    masks, truths : array_like, shape (n, h, w)
        Non-zero is anomalous.
    reconstructions : array_like of float, shape (n, h, w), optional
        The column is left out for a method that has none.
    brain : array_like of bool, shape (n, h, w), optional
        Where the percentiles are taken; otherwise where the scan is not 0.
    titles : sequence of str, shape (n,)
        Beside each row.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        Shapes differ, or there is no case.
    """
    images, brain = _slices(images, brain)
    maps, masks, truths = (np.asarray(a) for a in (maps, masks, truths))
    redrawn = None if reconstructions is None else np.asarray(reconstructions)
    _check(images, maps=maps, masks=masks, truths=truths, reconstructions=redrawn)
    headings = ["Scan", "Reconstruction", "Anomaly map", "Mask", "Truth", "Mask against truth"]
    if redrawn is None:
        headings.remove("Reconstruction")
    top = _top(maps, brain)
    with look():
        figure, axes = _grid(len(images), headings, titles, right=_BAR)
        for row, image in enumerate(images):
            white = _top(image[None], brain[row][None])
            panels = iter(axes[row])
            _grey(next(panels), image, white)
            if redrawn is not None:
                _grey(next(panels), redrawn[row], white)
            shown = _heat(next(panels), maps[row], top)
            mask, truth = masks[row] != 0, truths[row] != 0
            _grey(next(panels), mask, 1)
            _grey(next(panels), truth, 1)
            last = next(panels)
            _grey(last, image, white)
            for where, colour in ((mask & truth, HIT), (mask & ~truth, FALSE_ALARM), (~mask & truth, MISSED)):
                _overlay(last, where, colour, 0.75)
        _scale(figure, axes[0][headings.index("Anomaly map")], shown)
        names = {"in both": HIT, "marked, no lesion": FALSE_ALARM, "lesion, not marked": MISSED}
        _legend(figure, axes[-1][-1], names)
    return figure


def side_by_side(
    images: ArrayLike,
    truths: ArrayLike,
    maps: Mapping[str, ArrayLike],
    *,
    brain: ArrayLike | None = None,
    titles: Sequence[str] = (),
) -> Figure:
    """Show cases as rows: scan, then the anomaly map of every method, the lesion outlined in all.

    Parameters
    ----------
    images : array_like of float, shape (n, h, w)
        One slice and one channel per case.
    truths : array_like, shape (n, h, w)
        Non-zero is lesion.
    maps : mapping of str to array_like of float, shape (n, h, w)
        By method. Methods have scales of their own: each is drawn from 0 to its 99.5th percentile over all cases.
    brain, titles
        As :func:`gallery`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        Shapes differ, or there is no case.
    """
    images, brain = _slices(images, brain)
    lesion = np.asarray(truths) != 0
    drawn = {name: np.asarray(values) for name, values in maps.items()}
    _check(images, truths=lesion, **drawn)
    tops = {name: _top(values, brain) for name, values in drawn.items()}
    with look():
        figure, axes = _grid(len(images), ["Scan", *drawn], titles, right=_EDGE)
        for row, image in enumerate(images):
            outline = lesion[row] & ~binary_erosion(lesion[row])
            _grey(axes[row][0], image, _top(image[None], brain[row][None]))
            for panel, (name, values) in zip(axes[row][1:], drawn.items(), strict=True):
                _heat(panel, values[row], tops[name])
            for panel in axes[row]:
                _overlay(panel, outline, HIT, 1.0)
        _legend(figure, axes[-1][-1], {"outline of the lesion": HIT})
    return figure


def redrawn_plot(
    images: ArrayLike,
    truths: ArrayLike,
    reconstructions: Mapping[str, ArrayLike],
    *,
    brain: ArrayLike | None = None,
    titles: Sequence[str] = (),
) -> Figure:
    """Show what several networks make of the same cases: reconstructions, and below what is brighter in the scan.

    Parameters
    ----------
    images, truths : array_like, shape (n, h, w)
        One slice and one channel per case; non-zero truth is lesion, and is outlined.
    reconstructions : mapping of str to array_like of float, shape (n, h, w)
        By network, on the scan's scale, as they are drawn; of the differences only what is above 0, for all networks
        from 0 to their common 99.5th percentile in the brain over all cases.
    brain, titles
        As :func:`gallery`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        Shapes differ, or there is no case.
    """
    images, brain = _slices(images, brain)
    lesion = np.asarray(truths) != 0
    redrawn = {name: np.asarray(values) for name, values in reconstructions.items()}
    _check(images, truths=lesion, brain=brain, **redrawn)
    differences = {name: np.where(brain, images - values, 0) for name, values in redrawn.items()}
    top = _top(np.stack(list(differences.values())), np.broadcast_to(brain, (len(redrawn), *brain.shape)))
    named = [line for title in titles for line in (title, "brighter than redrawn")]
    with look():
        figure, axes = _grid(2 * len(images), ["Scan", *redrawn], named, right=_BAR)
        for case, image in enumerate(images):
            above, below = axes[2 * case], axes[2 * case + 1]
            white, outline = _top(image[None], brain[case][None]), lesion[case] & ~binary_erosion(lesion[case])
            _grey(above[0], image, white)
            _grey(below[0], image, white)
            _overlay(below[0], outline, HIT, 1.0)
            for place, name in enumerate(redrawn, start=1):
                _grey(above[place], np.where(brain[case], redrawn[name][case], 0), white)
                shown = _heat(below[place], differences[name][case], top)
                _overlay(below[place], outline, HIT, 1.0)
        _scale(figure, axes[1][-1], shown)
        _legend(figure, axes[-1][-1], {"outline of the lesion": HIT})
    return figure


def healing_plot(
    images: ArrayLike,
    truths: ArrayLike,
    reconstructions: ArrayLike,
    surprises: ArrayLike,
    unlikely: ArrayLike,
    healed: ArrayLike,
    averages: ArrayLike,
    maps: ArrayLike,
    *,
    brain: ArrayLike | None = None,
    titles: Sequence[str] = (),
    samples: int = 2,
) -> Figure:
    """Show cases as rows, the steps of the healing as columns, the lesion outlined in scan and map.

    Parameters
    ----------
    images, reconstructions, averages : array_like of float, shape (n, h, w)
        Scans, their codes decoded, and the mean of all healed images: on the scan's scale.
    truths : array_like, shape (n, h, w)
        Non-zero is lesion.
    surprises, maps : array_like of float, shape (n, h, w)
        Negative log likelihood of the codes, and the anomaly maps; each from 0 to its 99.5th percentile over all cases.
    unlikely : array_like of float, shape (n, h, w)
        Share of the orders in which a code was drawn anew, from 0 to 1.
    healed : array_like of float, shape (n, m, h, w)
        Samples.
    brain, titles
        As :func:`gallery`.
    samples : int
        Most of them to show.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        Shapes differ, or there is no case.
    """
    images, brain = _slices(images, brain)
    lesion, drawn = np.asarray(truths) != 0, np.asarray(healed)[:, :samples]
    redrawn, averages, surprises, unlikely, maps = (
        np.asarray(each) for each in (reconstructions, averages, surprises, unlikely, maps)
    )
    steps = {f"Healed sample {number}": drawn[:, number - 1] for number in range(1, drawn.shape[1] + 1)}
    _check(images, truths=lesion, reconstructions=redrawn, surprises=surprises, unlikely=unlikely, **steps)
    _check(images, averages=averages, maps=maps)
    headings = ["Scan", "Its codes decoded", "Surprise of each code", "Codes drawn anew", *steps]
    headings += ["Mean of all samples", "Anomaly map"]
    tops = _top(surprises, brain), _top(maps, brain)
    with look():
        figure, axes = _grid(len(images), headings, titles, right=_EDGE)
        for row, image in enumerate(images):
            white = _top(image[None], brain[row][None])
            scan, decoded, surprise, anew, *others = axes[row]
            _grey(scan, image, white)
            _grey(decoded, redrawn[row], white)
            _heat(surprise, surprises[row], tops[0])
            _heat(anew, unlikely[row], 1.0)
            for panel, step in zip(others[:-2], steps.values(), strict=True):
                _grey(panel, step[row], white)
            _grey(others[-2], averages[row], white)
            _heat(others[-1], maps[row], tops[1])
            for panel in (scan, others[-1]):
                _overlay(panel, lesion[row] & ~binary_erosion(lesion[row]), HIT, 1.0)
        _legend(figure, axes[-1][-1], {"outline of the lesion": HIT})
    return figure


def _slices(images: ArrayLike, brain: ArrayLike | None) -> tuple[NDArray, NDArray]:
    """Slices and their brain."""
    images = np.asarray(images)
    if images.ndim != 3 or not len(images):
        raise InputError(f"images: expected (n, h, w) with at least one case, found {images.shape}")
    return images, (images != 0 if brain is None else np.asarray(brain) != 0)


def _check(images: NDArray, **others: NDArray | None) -> None:
    """Refuse arrays of another shape."""
    for name, array in others.items():
        if array is not None and array.shape != images.shape:
            raise InputError(f"{name}: expected the shape of the images, {images.shape}, found {array.shape}")


def _top(values: NDArray, brain: NDArray) -> float:
    """99.5th percentile in the brain, never 0."""
    inside = values[brain]
    return max(float(np.percentile(inside, 99.5)) if inside.size else 0.0, 1e-6)


def _grid(
    rows: int, headings: Sequence[str], titles: Sequence[str], *, right: float
) -> tuple[Figure, list[list[Axes]]]:
    """Lay out square panels with headings above and a title beside each row."""
    columns = len(headings)
    headings = [wrapped(heading, 20) for heading in headings]
    titles = [wrapped(title, 28) for title in titles]
    head = _LINE * (1.8 + max(heading.count("\n") for heading in headings))
    left = _LINE * (1 + max((1 + title.count("\n") for title in titles), default=0))
    width, height = left + columns * _INCH + right, head + rows * _INCH + _FOOT
    figure = Picture(figsize=(width, height))
    grid = figure.subplots(
        rows,
        columns,
        squeeze=False,
        gridspec_kw={
            "left": left / width,
            "right": 1 - right / width,
            "top": 1 - head / height,
            "bottom": _FOOT / height,
            "wspace": 0.04,
            "hspace": 0.04,
        },
    )
    for panel in grid.ravel():
        panel.set(xticks=[], yticks=[])
        panel.grid(False)
        panel.spines[:].set_visible(False)
        panel.set_facecolor("black")
    for panel, heading in zip(grid[0], headings, strict=True):
        panel.set_title(heading, fontsize=11)
    for panel, title in zip(grid[:, 0], titles, strict=False):
        panel.set_ylabel(title, fontsize=9)
    grid[0, 0].text(0.03, 0.97, "R", transform=grid[0, 0].transAxes, color="white", va="top", fontsize=9)
    return figure, grid.tolist()


def _show(panel: Axes, image: NDArray, **how: Any) -> AxesImage:
    """Draw front up, the person's right on the left."""
    return panel.imshow(image[:, ::-1], origin="lower", interpolation="nearest", **how)


def _grey(panel: Axes, image: NDArray, white: float) -> None:
    """Draw a scan or a mask."""
    _show(panel, image, cmap="gray", vmin=0, vmax=white)


def _heat(panel: Axes, values: NDArray, top: float) -> AxesImage:
    """Draw a map."""
    return _show(panel, values, cmap="inferno", vmin=0, vmax=top)


def _overlay(panel: Axes, where: NDArray, colour: str, strength: float) -> None:
    """Lay a colour over some pixels."""
    tint = np.zeros((*where.shape, 4))
    tint[where] = (*to_rgb(colour), strength)
    _show(panel, tint)


def _scale(figure: Figure, beside: Axes, shown: AxesImage) -> None:
    """Add the colour scale of the maps at the right edge, as high as the first row."""
    box, (width, _) = beside.get_position(), figure.get_size_inches()
    bar = figure.add_axes((1 - (_BAR - 0.12) / width, box.y0, 0.12 / width, box.height))
    figure.colorbar(shown, cax=bar)
    bar.tick_params(labelsize=9)
    bar.set_title("map", fontsize=9, loc="left")


def _legend(figure: Figure, last: Axes, colours: Mapping[str, str]) -> None:
    """Name the colours of the overlay under the grid, at its right edge."""
    patches = [Patch(color=colour, label=name) for name, colour in colours.items()]
    right, height = last.get_position().x1, figure.get_size_inches()[1]
    figure.legend(handles=patches, loc="lower right", bbox_to_anchor=(right, 0.02 / height), ncols=3, borderaxespad=0)
