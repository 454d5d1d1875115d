"""Bring intensities to a common scale, from the brain's voxels alone."""

from difflib import get_close_matches

import numpy as np

from uad_data.errors import InputError

_FORMS = {
    "percentile": "percentile:P",
    "minmax": "minmax",
    "minmax-slice": "minmax-slice",
    "window": "window:LOW:HIGH",
    "none": "none",
}
# What a voxel of the brain is at least after a window: 0 stands for outside.
_DARKEST = 1e-3


def scale(image: np.ndarray, brain: np.ndarray, rule: str) -> np.ndarray:
    """Scale each channel by its brain voxels and set everything outside the brain to 0.

    Parameters
    ----------
    image : numpy.ndarray
        Intensities, ``(c, d, h, w)``, any unit.
    brain : numpy.ndarray
        Brain mask, ``(d, h, w)`` bool, with at least one voxel.
    rule : str
        - ``"percentile:P"`` (0 < P <= 100): divide by the ``P``-th percentile of the volume's brain voxels. Nothing
          is clipped, so what is brighter than the percentile stays above 1;
        - ``"minmax"``: the volume's brain voxels to 0..1;
        - ``"minmax-slice"``: each axial slice's brain voxels to 0..1 (0 where a slice is constant);
        - ``"window:LOW:HIGH"``: LOW..HIGH to 0.001..1, clipped; for CT in Hounsfield units, ``"window:0:80"``;
        - ``"none"``: as it stands, for scans that ``uad-data prepare`` has scaled.

    Returns
    -------
    numpy.ndarray
        Scaled intensities, ``(c, d, h, w)`` float32, 0 outside the brain.

    Raises
    ------
    InputError
        The rule is unknown, the brain mask is empty, or a channel cannot be scaled: its percentile is not above 0, or
        it is constant inside the brain.

    Notes
    -----
    A high percentile is the default because a single bright vessel or artefact sets the scale of a min-max.
    """
    name, numbers = _parse(rule)
    if not brain.any():
        raise InputError("the brain mask is empty: expected at least one brain voxel to scale by. Check the mask.")
    image = np.asarray(image, dtype=np.float32)
    if name == "percentile":
        scaled = image / _percentile(image, brain, *numbers)
    elif name == "window":
        low, high = numbers
        scaled = np.clip((image - low) / (high - low), _DARKEST, 1)
    elif name == "none":
        scaled = image
    else:
        scaled = _minmax(image, brain, (-2, -1) if name == "minmax-slice" else (-3, -2, -1))
    return np.where(brain, scaled, np.float32(0))


def check_scaling_rule(rule: str) -> None:
    """Refuse a rule that `scale` would not understand.

    Parameters
    ----------
    rule : str
        A rule as `scale` takes it.

    Raises
    ------
    InputError
        The rule is unknown (the message names the nearest) or its percentile is not in (0, 100].
    """
    _parse(rule)


def _percentile(image: np.ndarray, brain: np.ndarray, percent: float) -> np.ndarray:
    """Find the percentile of each channel's brain voxels, (c, 1, 1, 1)."""
    level = np.percentile(image[:, brain], percent, axis=1).astype(np.float32)
    if (level <= 0).any():
        channel = int(np.argmax(level <= 0))
        raise InputError(
            f"channel {channel} cannot be scaled by 'percentile:{percent:g}': expected a percentile of brain voxels "
            f"above 0, found {level[channel]:g}. Use 'minmax' for images with negative intensities, and check the mask."
        )
    return level[:, None, None, None]


def _minmax(image: np.ndarray, brain: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """Map the range of brain voxels over `axes` to 0..1."""
    low = np.where(brain, image, np.inf).min(axis=axes, keepdims=True)
    high = np.where(brain, image, -np.inf).max(axis=axes, keepdims=True)
    span = high - low
    if len(axes) == 3 and (span <= 0).any():
        channel = int(np.argmax(span.ravel() <= 0))
        raise InputError(
            f"channel {channel} cannot be scaled by 'minmax': expected brain voxels of different intensities, "
            f"all are {low.ravel()[channel]:g}. Check the image and the brain mask."
        )
    usable = span > 0
    return np.where(usable, (image - np.where(usable, low, 0)) / np.where(usable, span, 1), 0).astype(np.float32)


def _parse(rule: str) -> tuple[str, tuple[float, ...]]:
    """Split a rule into its name and its numbers."""
    name, _, text = rule.partition(":")
    form = _FORMS.get(name, "")
    if not form or bool(text) != (":" in form):
        nearest = get_close_matches(name, _FORMS, n=1, cutoff=0.4)
        hint = f"; did you mean {_FORMS[nearest[0]]!r}?" if nearest else "."
        raise InputError(f"scaling rule {rule!r} is unknown{hint} Known rules: {', '.join(_FORMS.values())}.")
    try:
        numbers = tuple(float(number) for number in text.split(":")) if text else ()
    except ValueError:
        numbers = ()
    if name == "percentile" and not (len(numbers) == 1 and 0 < numbers[0] <= 100):
        raise InputError(
            f"scaling rule {rule!r}: expected percentile:P with a number above 0 and at most 100, found {text!r}."
        )
    if name == "window" and not (len(numbers) == 2 and numbers[0] < numbers[1]):
        raise InputError(f"scaling rule {rule!r}: expected window:LOW:HIGH with LOW below HIGH, found {text!r}.")
    return name, numbers
