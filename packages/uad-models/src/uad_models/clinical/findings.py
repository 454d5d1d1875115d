"""Findings: the connected parts of a mask, how large they are, where they lie and how anomalous they are.

Axes: ``d h w`` a scan's grid turned to RAS+, see `uad_data.scan.Scan`; millimetres are the scanner's (RAS+).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

from uad_data.preparation.way_back import WayBack
from uad_data.quality.outliers import Limits

COLUMNS = (
    *("lesion", "voxels", "volume_ml", "x_mm", "y_mm", "z_mm", "midline_mm", "side"),
    *("peak_score", "mean_score"),
)
MIDLINE_MM = 5.0
"""A finding whose centre is closer to the mid-plane than this is on neither side."""
_X_OF_MIDLINE = {"mni152": 0.0}
_MOST_MARKED = 0.25
_LEAST_JUDGED = 0.8


@dataclass(frozen=True, eq=False)
class Midline:
    """The plane between left and right.

    Parameters
    ----------
    normal : ndarray, shape (3,)
        Towards the subject's right.
    offset : float
        A point p in scanner millimetres is ``normal · p + offset`` millimetres to the right of the plane.
    told : str
        Where the plane comes from, for people.
    """

    normal: NDArray[np.float64]
    offset: float
    told: str

    def distance(self, points: NDArray) -> NDArray[np.float64]:
        """Return how far points (n, 3) lie to the right of the plane, in mm."""
        return points @ self.normal + self.offset


def find_midline(
    brain: NDArray[np.bool_], affine: NDArray, way_back: WayBack, *, template: str | None = None
) -> Midline:
    """Lay the plane between left and right.

    Parameters
    ----------
    brain : ndarray, shape (d, h, w), bool
        The brain in prepared space (or on the raw grid, where nothing was prepared).
    affine : ndarray, shape (4, 4)
        Of that grid.
    way_back : WayBack
        From that grid to the scanner's space.
    template : str, optional
        The template that the scan was registered to.

    Returns
    -------
    Midline
        In template space for a scan that was registered: the template's own plane for ``"mni152"``. Otherwise at right
        angles to the grid's left-right axis, through the brain's centre of mass.
    """
    direction = affine[:3, 0] / np.linalg.norm(affine[:3, 0])
    if template in _X_OF_MIDLINE:
        here, offset = np.array([1.0, 0.0, 0.0]), -_X_OF_MIDLINE[template]
        told = f"the mid-plane of the template {template}"
    else:
        centre = affine[:3, :3] @ np.array(ndimage.center_of_mass(brain))[::-1] + affine[:3, 3]
        here, offset = direction, -float(direction @ centre)
        told = "the plane through the middle of this brain" + (" in template space" if template else "")
    to_prepared = np.linalg.inv(way_back.prepared_to_native)
    return Midline(here @ to_prepared[:3, :3], float(here @ to_prepared[:3, 3]) + offset, told)


def list_findings(
    mask: NDArray[np.bool_], scores: NDArray, affine: NDArray, midline: Midline, *, in_mm: bool = True
) -> tuple[pd.DataFrame, NDArray[np.int32]]:
    """List the connected parts of a mask, the largest first.

    Parameters
    ----------
    mask : ndarray, shape (d, h, w), bool
        On the scan's own grid. Voxels that share a corner belong together.
    scores : ndarray, shape (d, h, w)
        The anomaly map on the same grid.
    affine : ndarray, shape (4, 4)
        Maps voxel indices ``(w, h, d)`` to scanner millimetres.
    midline : Midline
        Tells the sides.
    in_mm : bool, default: True
        False for pictures, whose pixels have no known size: volume, centre and distance are left empty (NaN).

    Returns
    -------
    table : DataFrame
        `COLUMNS`: lesion (its number, from 1), voxels, volume_ml, x_mm, y_mm, z_mm (its centre), midline_mm (how far
        that lies to the right of the mid-plane), side ("left", "right" or "midline"), peak_score, mean_score.
    labels : ndarray, shape (d, h, w), int32
        The number of each voxel's finding, 0 for none.
    """
    found, count = ndimage.label(mask, structure=np.ones((3, 3, 3)))
    sizes = np.bincount(found.ravel(), minlength=count + 1)[1:]
    order = np.argsort(-sizes, kind="stable")
    number = np.zeros(count + 1, np.int32)
    number[order + 1] = np.arange(1, count + 1)
    labels = number[found]
    where = np.nonzero(labels)
    of = labels[where] - 1
    voxels = np.bincount(of, minlength=count)
    means = [np.bincount(of, weights=values, minlength=count) / voxels for values in (*where, scores[where])]
    centres = np.stack(means[2::-1], axis=1) @ affine[:3, :3].T + affine[:3, 3]
    right = midline.distance(centres)
    peaks = np.asarray(ndimage.maximum(scores, labels, np.arange(1, count + 1)), float)
    table = pd.DataFrame(
        {
            "lesion": np.arange(1, count + 1),
            "voxels": voxels,
            "volume_ml": voxels * abs(np.linalg.det(affine[:3, :3])) / 1000,
            **{f"{name}_mm": centres[:, axis] for axis, name in enumerate("xyz")},
            "midline_mm": right,
            "side": np.where(np.abs(right) < MIDLINE_MM, "midline", np.where(right > 0, "right", "left")),
            "peak_score": peaks,
            "mean_score": means[3],
        },
        columns=list(COLUMNS),
    )
    if not in_mm:
        table[["volume_ml", "x_mm", "y_mm", "z_mm", "midline_mm"]] = np.nan
    return table, labels


def find_warnings(quality: Mapping[str, Any], marked: float | None, judged: float | None = None) -> list[str]:
    """Say what makes a scan's result doubtful.

    Parameters
    ----------
    quality : mapping
        Of `uad_data.quality.measures.measure`; may be empty.
    marked : float or None
        Share of the judged brain's voxels above the threshold; None without a threshold.
    judged : float, optional
        Share of the brain in which the mask was decided.

    Returns
    -------
    list of str
        Sentences; empty where nothing is odd.
    """
    limits = Limits()
    low, high = limits.brain_ml
    found = []
    if (ml := quality.get("brain_ml")) is not None and not low <= ml <= high:
        found.append(f"The brain measures {ml:.0f} ml, outside of {low:.0f} to {high:.0f} ml: check the brain mask.")
    if (dice := quality.get("dice_to_template")) is not None and dice < limits.dice:
        found.append(
            f"The brain overlaps the template's by a Dice of only {dice:.2f} (expected {limits.dice:g} or more): the "
            "registration or the brain mask may have failed, and then places and sides are wrong."
        )
    if (coverage := quality.get("coverage")) is not None and coverage < limits.coverage:
        found.append(f"The scan covers only {coverage:.0%} of the brain: what lies outside was not looked at.")
    elif quality.get("touches_border"):
        found.append("The brain reaches the edge of the scan: part of it may not have been scanned.")
    if marked is not None and marked > _MOST_MARKED:
        found.append(
            f"{marked:.0%} of the brain that was judged is above the threshold: the scan is unlike those that "
            "the method was trained on (another sequence, scanner or preparation?), and its findings mean little."
        )
    if judged is not None and judged < _LEAST_JUDGED:
        found.append(
            f"Only {judged:.0%} of the brain was judged: the rest lies in slices that the run's slice rule kept from "
            "training."
        )
    return found
