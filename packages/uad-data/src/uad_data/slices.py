"""Choose the axial slices of a scan that are worth learning from and scoring."""

from collections.abc import Callable
from difflib import get_close_matches
from typing import NamedTuple

import numpy as np

from uad_data.errors import InputError


class _Rule(NamedTuple):
    """How a rule is written, which numbers it takes, and what it does with the brain area of each slice."""

    form: str
    expected: str
    parse: Callable[[str], float]
    accepts: Callable[[float], bool]
    select: Callable[[np.ndarray, float], np.ndarray]


def select_slices(brain: np.ndarray, rule: str) -> np.ndarray:
    """Select axial slices by how much brain they show.

    Parameters
    ----------
    brain : numpy.ndarray
        Brain mask, ``(d, h, w)`` bool; slices are counted along ``d``.
    rule : str
        - ``"fraction:F"``: the brain area is at least ``F`` (0 < F <= 1) times that of the largest slice;
        - ``"centre:N"``: the ``N`` slices around the brain's centre of mass, fewer where the brain ends;
        - ``"pixels:N"``: at least ``N`` brain pixels.

    Returns
    -------
    numpy.ndarray
        Ascending slice indices, ``(n,)`` int64; a slice without brain is never among them. Empty when none fits.

    Raises
    ------
    InputError
        The rule is unknown or its number is out of range.

    Notes
    -----
    The range of slices changes figures: an intensity threshold's Dice differs by a factor of 1.6 between ranges of the
    same scans. The rule is therefore part of every cache's settings and belongs beside every result.
    """
    chosen, number = _parse(rule)
    area = np.count_nonzero(brain, axis=(1, 2))
    if not area.any():
        return np.empty(0, dtype=np.int64)
    return np.flatnonzero(chosen.select(area, number) & (area > 0))


def check_slice_rule(rule: str) -> None:
    """Refuse a rule that `select_slices` would not understand.

    Parameters
    ----------
    rule : str
        A rule as `select_slices` takes it.

    Raises
    ------
    InputError
        The rule is unknown (the message names the nearest) or its number is out of range.
    """
    _parse(rule)


def _by_fraction(area: np.ndarray, fraction: float) -> np.ndarray:
    """Slices of at least a fraction of the largest area."""
    return area >= fraction * area.max()


def _by_centre(area: np.ndarray, count: float) -> np.ndarray:
    """Slices around the centre of mass."""
    index = np.arange(area.size)
    centre = (area * index).sum() / area.sum()
    first = int(np.floor(centre - count / 2 + 1))
    return (index >= first) & (index < first + count)


def _by_pixels(area: np.ndarray, count: float) -> np.ndarray:
    """Slices of at least so many brain pixels."""
    return area >= count


_RULES = {
    "fraction": _Rule("fraction:F", "a number above 0 and at most 1", float, lambda f: 0 < f <= 1, _by_fraction),
    "centre": _Rule("centre:N", "a whole number of at least 1", int, lambda n: n >= 1, _by_centre),
    "pixels": _Rule("pixels:N", "a whole number of at least 1", int, lambda n: n >= 1, _by_pixels),
}


def _parse(rule: str) -> tuple[_Rule, float]:
    """Split a rule into what it does and its number."""
    name, _, text = rule.partition(":")
    if name not in _RULES:
        known = ", ".join(known.form for known in _RULES.values())
        nearest = get_close_matches(name, _RULES, n=1, cutoff=0.4)
        hint = f"; did you mean {_RULES[nearest[0]].form!r}?" if nearest else "."
        raise InputError(f"slice rule {rule!r} is unknown{hint} Known rules: {known}.")
    chosen = _RULES[name]
    try:
        number = chosen.parse(text)
    except ValueError:
        number = float("nan")
    if not chosen.accepts(number):
        raise InputError(f"slice rule {rule!r}: expected {chosen.form} with {chosen.expected}, found {text!r}.")
    return chosen, number
