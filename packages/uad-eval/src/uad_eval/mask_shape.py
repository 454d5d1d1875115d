"""Volume and surface of whole masks, scan by scan, and the figures of them.

These need voxels of known size, so they are given for volumes alone. Distances have no pooled figure; their mean is
over the subjects that the rule for empty cases names (:mod:`uad_eval.empty_cases`). Under the rules ``lesion`` and
``nnunet`` a missed lesion has no distance and drops out of the mean: read it beside the lesions found.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uad_eval.empty_cases import LESION, EmptyCases
from uad_eval.figures import Figure
from uad_eval.surface import surface_distances
from uad_eval.volume_agreement import volume_agreement


class MaskShape(NamedTuple):
    """A mask beside the truth; of several scans of a person their mean.

    Attributes
    ----------
    marked_ml, lesion_ml : float
    hausdorff_95, surface_distance : float
        In mm, NaN where undefined; :class:`uad_eval.surface.SurfaceDistances`.
    """

    marked_ml: float
    lesion_ml: float
    hausdorff_95: float
    surface_distance: float


def mask_shape(mask: ArrayLike, truth: ArrayLike, *, spacing: Sequence[float], empty: str = LESION) -> MaskShape:
    """Measure one scan's mask.

    Parameters
    ----------
    mask, truth : array_like, shape (d, h, w)
        Non-zero is marked, non-zero is lesion.
    spacing : sequence of float, shape (3,)
        Size of a voxel along each axis in mm.
    empty : str
        Rule for empty cases.

    Returns
    -------
    MaskShape

    Raises
    ------
    InputError
        As :func:`uad_eval.surface.surface_distances`.
    """
    distances = surface_distances(mask, truth, spacing=spacing, empty=empty)
    voxel_ml = float(np.prod(spacing)) / 1000
    marked, lesion = (np.count_nonzero(np.asarray(part)) * voxel_ml for part in (mask, truth))
    return MaskShape(marked, lesion, distances.hausdorff_95, distances.mean)


def shapes_in_scope(
    inside: NDArray, truth: NDArray, masks: Mapping[str, NDArray], *, spacing: NDArray, empty: str = LESION
) -> dict[str, MaskShape]:
    """Measure the masks of one subject's volumes, as far as they lie in the scope.

    Parameters
    ----------
    inside : ndarray of bool, shape (n, d, h, w)
        The voxels in scope.
    truth : ndarray, shape (v,)
        Of these voxels.
    masks : mapping of str to ndarray of bool, shape (v,)
        By protocol.
    spacing : ndarray, shape (n, 3)
        mm.
    empty : str

    Returns
    -------
    dict of str to MaskShape
    """
    lesion = np.zeros(inside.shape, bool)
    lesion[inside] = truth != 0
    found = {}
    for name, mask in masks.items():
        marked = np.zeros(inside.shape, bool)
        marked[inside] = mask != 0
        found[name] = mean_shape(
            [mask_shape(m, t, spacing=list(s), empty=empty) for m, t, s in zip(marked, lesion, spacing, strict=True)]
        )
    return found


def mean_shape(shapes: Sequence[MaskShape]) -> MaskShape:
    """Average over a person's scans; undefined distances are left out."""
    columns = np.array(shapes, np.float64)
    defined = np.isfinite(columns)
    counted = defined.sum(axis=0)
    total = np.where(defined, columns, 0.0).sum(axis=0)
    return MaskShape(*np.divide(total, counted, out=np.full(4, np.nan), where=counted > 0))


def shape_figures(shapes: Sequence[Mapping[str, MaskShape]], rule: EmptyCases) -> list[Figure]:
    """Turn the subjects' shapes into figures.

    Parameters
    ----------
    shapes : sequence of mapping of str to MaskShape
        For each subject, by protocol.
    rule : EmptyCases

    Returns
    -------
    list of Figure
        Per subject and as a mean: ``hausdorff_95`` and ``surface_distance`` (mm), ``volume_error`` (marked less true
        volume, ml; its mean is the bias), ``marked_volume`` and ``lesion_volume`` (ml); pooled, ``volume_limit_low``
        and ``volume_limit_high``, Bland and Altman's limits of agreement (ml).
    """
    figures = []
    for number, protocol in enumerate(shapes[0]):
        marked, lesion, hausdorff, distance = np.array([each[protocol] for each in shapes], np.float64).T
        over = np.ones(len(shapes), bool) if rule.every_subject else lesion > 0
        nan = float("nan")
        for name, each in {"hausdorff_95": hausdorff, "surface_distance": distance}.items():
            figures.append(Figure(name, nan, None, each, over, protocol=protocol, unit="mm"))
        volumes = {"volume_error": marked - lesion, "marked_volume": marked}
        figures += [Figure(name, nan, None, each, protocol=protocol, unit="ml") for name, each in volumes.items()]
        if number == 0:
            figures.append(Figure("lesion_volume", nan, None, lesion, unit="ml"))
        agreement = volume_agreement(marked, lesion)
        for name, value in (("volume_limit_low", agreement.low), ("volume_limit_high", agreement.high)):
            figures.append(Figure(name, value, np.zeros(0), protocol=protocol, unit="ml"))
    return figures
