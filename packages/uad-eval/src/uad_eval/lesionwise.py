"""Lesion-wise detection: how many lesions are found, how many marked regions are false, by size.

A *lesion* is a connected component of the truth, a *region* one of the mask; voxels that share a corner are connected
unless ``connectivity`` says otherwise, and nothing is connected from one scan to the next. The matching rule:

- a lesion is **found** when the mask covers at least ``overlap`` of its voxels (10 % by default);
- a region is **true** when at least ``overlap`` of its voxels are lesion, whichever lesions they are.

One region may so find several lesions that it joins, and several regions may find one lesion that they split; neither
is punished. Sensitivity is found / lesions, precision true regions / regions, and F1 their harmonic mean.

Size bands are half-open, ``[low, high)`` ml; a lesion counts in the band of its own volume, a region in that of its
own. Sensitivity is NaN without a lesion, precision without a region. F1 is NaN without both, and 0 without one of them.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from uad_eval.errors import InputError
from uad_eval.figures import Figure
from uad_eval.ranking import ratio

OVERLAP = 0.1
#: Edges of the size bands in ml: tiny lesions of multiple sclerosis, up to large tumours and strokes.
BAND_EDGES_ML = (0.1, 1.0, 10.0)

Connectivity = Literal["full", "face"]


class LesionCounts(NamedTuple):
    """Counts of lesions and regions in each size band, ``(..., bands)``.

    Attributes
    ----------
    lesions, found : ndarray
        Lesions, and those of them that the mask finds.
    regions, true : ndarray
        Regions of the mask, and those of them that are true.
    """

    lesions: NDArray
    found: NDArray
    regions: NDArray
    true: NDArray


def count_lesions(
    mask: ArrayLike,
    truth: ArrayLike,
    *,
    voxel_ml: float | None = None,
    edges_ml: Sequence[float] = BAND_EDGES_ML,
    overlap: float = OVERLAP,
    connectivity: Connectivity = "full",
) -> LesionCounts:
    """Match the regions of one scan's mask with its lesions.

    Parameters
    ----------
    mask, truth : array_like, shape (h, w) or (d, h, w)
        Non-zero is marked, non-zero is lesion, of one slice or volume.
    voxel_ml : float, optional
        Volume of a voxel; without it there is one band.
    edges_ml : sequence of float
        Rising edges between the size bands.
    overlap : float
        Share of a lesion, and of a region, that must overlap, above 0 and up to 1.
    connectivity : {"full", "face"}
        Whether voxels that share only a corner or an edge are connected.

    Returns
    -------
    LesionCounts
        Each ``(bands,)`` int64, one more than the edges; ``(1,)`` without ``voxel_ml``.

    Raises
    ------
    InputError
        Shapes differ, or an option is out of range.
    """
    marked, lesion = np.asarray(mask) != 0, np.asarray(truth) != 0
    if marked.shape != lesion.shape or marked.ndim not in (2, 3):
        raise InputError(
            f"mask and truth: expected one shape, (h, w) or (d, h, w), found {marked.shape} and {lesion.shape}"
        )
    if not 0 < overlap <= 1:
        raise InputError(f"overlap: expected above 0 and up to 1, found {overlap}")
    if connectivity not in ("full", "face"):
        raise InputError(f"connectivity: expected 'full' or 'face', found {connectivity!r}")
    edges = np.asarray(edges_ml if voxel_ml is not None else (), np.float64)
    if (np.diff(edges) <= 0).any() or (voxel_ml is not None and not voxel_ml > 0):
        raise InputError(f"expected rising edges and a voxel_ml above 0, found {tuple(edges_ml)} and {voxel_ml}")
    structure = ndimage.generate_binary_structure(marked.ndim, marked.ndim if connectivity == "full" else 1)
    counted = []
    for components, other in ((lesion, marked), (marked, lesion)):
        box = _box(components)
        labels, number = ndimage.label(components[box], structure)
        sizes = np.bincount(labels.ravel(), minlength=number + 1)[1:]
        hits = np.bincount(labels[other[box]], minlength=number + 1)[1:]
        # Slack for sizes from headers, which keep single precision, and for shares that binary numbers cannot hold.
        bands = np.searchsorted(edges, sizes * (voxel_ml or 0.0) * (1 + 1e-6), side="right")
        matched = hits >= overlap * sizes * (1 - 1e-9)
        counted += [np.bincount(bands[which], minlength=len(edges) + 1) for which in (slice(None), matched)]
    return LesionCounts(*counted)


def count_in_scope(
    inside: NDArray, truth: NDArray, masks: Mapping[str, NDArray], *, voxel_ml: Sequence[float] | NDArray | None = None
) -> dict[str, LesionCounts]:
    """Count the lesions and regions of one subject, as far as they lie in the scope.

    Parameters
    ----------
    inside : ndarray of bool, shape (n, d, h, w)
        The voxels in scope of the subject's volumes.
    truth : ndarray, shape (v,)
        Of these voxels; non-zero is lesion.
    masks : mapping of str to ndarray of bool, shape (v,)
        Of these voxels, by protocol.
    voxel_ml : sequence of float, shape (n,), optional
        Volume of each volume's voxels.

    Returns
    -------
    dict of str to LesionCounts
        By protocol, all volumes together; size bands of :data:`BAND_EDGES_ML`.
    """
    full = {name: np.zeros(inside.shape, bool) for name in ("", *masks)}
    for name, values in {"": truth, **masks}.items():
        full[name][inside] = values != 0
    sizes = [None] * len(inside) if voxel_ml is None else list(voxel_ml)
    return {
        name: add_counts(
            [count_lesions(full[name][n], full[""][n], voxel_ml=size) for n, size in enumerate(sizes)],
        )
        for name in masks
    }


def add_counts(counts: Sequence[LesionCounts]) -> LesionCounts:
    """Add up the counts of several scans, band by band."""
    return LesionCounts(*(np.sum(kind, axis=0) for kind in zip(*counts, strict=True)))


def _box(mask: NDArray) -> tuple[slice, ...]:
    """Smallest box that holds the mask."""
    box = []
    for axis in range(mask.ndim):
        along = np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
        box.append(slice(along[0], along[-1] + 1) if along.size else slice(0, 0))
    return tuple(box)


def counted_lesion_metrics(counts: LesionCounts) -> dict[str, NDArray]:
    """Sensitivity, precision and F1 of counts of any shape; NaN where one is undefined.

    Parameters
    ----------
    counts : LesionCounts
        Of one or more scans, added up.

    Returns
    -------
    dict of str to ndarray
        ``lesion_sensitivity``, ``lesion_precision``, ``lesion_f1``.
    """
    sensitivity, precision = ratio(counts.found, counts.lesions), ratio(counts.true, counts.regions)
    s, p = np.nan_to_num(sensitivity), np.nan_to_num(precision)
    either = (np.asarray(counts.lesions) + np.asarray(counts.regions)) > 0
    f1 = np.divide(2 * s * p, s + p, out=np.where(either, 0.0, np.nan), where=s + p > 0)
    return {"lesion_sensitivity": sensitivity, "lesion_precision": precision, "lesion_f1": f1}


def lesion_figures(
    counted: Sequence[Mapping[str, LesionCounts]], weights: NDArray, *, edges_ml: Sequence[float] = BAND_EDGES_ML
) -> list[Figure]:
    """Turn the subjects' counts into figures, over all sizes and per size band.

    Parameters
    ----------
    counted : sequence of mapping of str to LesionCounts
        For each subject, protocol to counts ``(bands,)``.
    weights : ndarray, shape (draws, subjects)
        From :func:`uad_eval.bootstrap.subject_weights`.
    edges_ml : sequence of float
        Of the bands.

    Returns
    -------
    list of Figure
        ``lesion_sensitivity``, ``lesion_precision`` and ``lesion_f1``, pooled, per subject and meaned over the subjects
        with a lesion; with bands the same of each, pooled, as ``lesion_f1_<0.1ml`` or ``lesion_f1_0.1-1ml``; and how
        many ``lesions`` there are.
    """
    figures = []
    for number, protocol in enumerate(counted[0]):
        stacked = zip(*(each[protocol] for each in counted), strict=True)
        bands = LesionCounts(*(np.stack(kind).astype(np.float64) for kind in stacked))
        parts = {"": LesionCounts(*(kind.sum(axis=1) for kind in bands))}
        if bands.lesions.shape[1] > 1:
            for band, name in enumerate(band_names(edges_ml)):
                parts[f"_{name}"] = LesionCounts(*(kind[:, band] for kind in bands))
        for suffix, counts in parts.items():
            figures += _figures(counts, weights, protocol, suffix)
            if number == 0:
                total = float(counts.lesions.sum())
                figures.append(Figure(f"lesions{suffix}", total, weights @ counts.lesions, unit="count"))
    return figures


def band_names(edges_ml: Sequence[float] = BAND_EDGES_ML) -> list[str]:
    """Name the size bands: ``<0.1ml``, ``0.1-1ml``, ..., ``>=10ml``."""
    between = [f"{low:g}-{high:g}ml" for low, high in pairwise(edges_ml)]
    return [f"<{edges_ml[0]:g}ml", *between, f">={edges_ml[-1]:g}ml"]


def _figures(counts: LesionCounts, weights: NDArray, protocol: str, suffix: str) -> list[Figure]:
    """Figures of counts ``(subjects,)``; those of a band have none per subject, where lesions are too few."""
    pooled = counted_lesion_metrics(LesionCounts(*(kind.sum() for kind in counts)))
    drawn = counted_lesion_metrics(LesionCounts(*(weights @ kind for kind in counts)))
    each = counted_lesion_metrics(counts)
    return [
        Figure(
            f"{name}{suffix}",
            float(pooled[name]),
            drawn[name],
            None if suffix else each[name],
            None if suffix else counts.lesions > 0,
            protocol=protocol,
        )
        for name in pooled
    ]
