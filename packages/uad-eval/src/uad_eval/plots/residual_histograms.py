"""What reconstructions leave over, in lesions and in the rest of the brain, and where the threshold cuts."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from uad_eval.errors import InputError
from uad_eval.plots.style import ANOMALOUS, HEALTHY, NEUTRAL, Picture, hide_spare, look, wrapped


def residual_histograms(
    images: ArrayLike,
    reconstructions: Mapping[str, ArrayLike],
    truth: ArrayLike,
    brain: ArrayLike,
    *,
    thresholds: Mapping[str, Sequence[float]] | None = None,
    bins: int = 80,
) -> Figure:
    """Draw the distribution of scan less reconstruction, a panel per network, on one scale.

    Parameters
    ----------
    images : array_like of float, shape (n, *spatial)
        One channel.
    reconstructions : mapping of str to array_like of float, shape (n, *spatial)
        By network.
    truth, brain : array_like, shape (n, *spatial)
        Non-zero is lesion, is brain.
    thresholds : mapping of str to sequence of float, optional
        By network; drawn as lines.
    bins : int
        From the 0.5th to the 99.5th percentile of all networks' differences in lesions and in the rest.

    Returns
    -------
    matplotlib.figure.Figure
        Each distribution is scaled to area 1; titles give the median in the lesion and that of the size
        in the rest.

    Raises
    ------
    InputError
        Shapes differ, or there is no lesion voxel or no other in the brain.
    """
    images, brain, lesion = np.asanyarray(images), np.asanyarray(brain) != 0, np.asanyarray(truth) != 0
    for name, array in {"truth": lesion, "brain": brain, **reconstructions}.items():
        if np.shape(array) != images.shape:
            raise InputError(f"{name}: expected the shape of the images, {images.shape}, found {np.shape(array)}")
    inside, rest = lesion & brain, ~lesion & brain
    if not inside.any() or not rest.any():
        raise InputError("truth: expected voxels of lesion and others in the brain, found only one of them")
    drawn = {}
    for name, redrawn in reconstructions.items():
        difference = images - np.asanyarray(redrawn)
        drawn[name] = difference[rest], difference[inside]
    ends = [np.percentile(values, (0.5, 99.5)) for pair in drawn.values() for values in pair]
    edges = np.linspace(min(low for low, _ in ends), max(high for _, high in ends), bins + 1)
    columns = min(2, len(drawn))
    with look():
        figure = Picture(figsize=(4.6 * columns, 2.5 * -(-len(drawn) // columns) + 0.5), layout="constrained")
        panels = figure.subplots(-(-len(drawn) // columns), columns, squeeze=False, sharex=True).ravel()
        for panel, (name, pair) in zip(panels, drawn.items(), strict=False):
            for values, colour, label in zip(pair, (HEALTHY, ANOMALOUS), ("rest of the brain", "lesion"), strict=True):
                panel.hist(values, bins=edges, density=True, color=colour, alpha=0.3)
                panel.hist(values, bins=edges, density=True, color=colour, histtype="step", linewidth=1.5, label=label)
            for value in (thresholds or {}).get(name, ()):
                panel.axvline(value, color=NEUTRAL, linestyle="--", label="threshold")
            middle, size = np.median(pair[1]), np.median(np.abs(pair[0]))
            title = f"{name}: lesion {middle:+.2f}, rest ±{size:.2f}".replace("-", "−")
            panel.set_title(wrapped(title, 40), loc="left")
            panel.set(yticks=[])
        hide_spare(list(panels), len(drawn))
        for panel in panels[max(0, len(drawn) - columns) : len(drawn)]:
            panel.set_xlabel("Scan less reconstruction")
        named = dict(zip(*reversed(panels[0].get_legend_handles_labels()), strict=True))
        figure.legend(named.values(), named.keys(), loc="outside upper right", ncols=3)
    return figure
