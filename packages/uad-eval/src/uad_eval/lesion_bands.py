"""Which lesions are found: each lesion's size and contrast, and the share that is found in bands of both.

A *lesion* is a connected component of the truth (voxels that share a corner are connected) within one item, a slice or
a volume; it is *found* when the mask covers at least 10 % of it, as in `uad_eval.lesionwise`.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from uad_eval.bootstrap import DRAWS, interval, ratio_draws, subject_weights
from uad_eval.errors import InputError
from uad_eval.lesionwise import BAND_EDGES_ML, OVERLAP

#: Edges of contrast, in robust standard deviations of the lesion-free brain: darker, iso-intense, brighter, bright.
CONTRAST_EDGES = (-0.5, 0.5, 1.5)
ALL = "all"
_RING = 3  # voxels around a lesion that it is compared with
_TO_SD = 1.4826  # of a normal distribution, its median absolute deviation times this is its standard deviation


def lesion_table(
    images: ArrayLike,
    truth: ArrayLike,
    brain: ArrayLike,
    masks: ArrayLike,
    subjects: Sequence[str] | NDArray,
    *,
    pathologies: Sequence[str] | NDArray,
    voxel_ml: ArrayLike,
) -> pd.DataFrame:
    """Measure every lesion.

    Parameters
    ----------
    images : array_like of float, shape (n, *spatial)
        One channel, two or three spatial axes.
    truth, brain, masks : array_like, shape (n, *spatial)
        Non-zero is lesion, brain, marked.
    subjects, pathologies : sequence of str, shape (n,)
        Of each item.
    voxel_ml : array_like of float, shape (n,)
        Volume of a voxel of each item; of a slice, its pixel times the distance of slices.

    Returns
    -------
    pandas.DataFrame
        A row per lesion: ``item`` (place along the first axis), ``subject``, ``pathology``, ``volume_ml``;
        ``contrast``, its median less that of the lesion-free brain within 3 voxels around it, in robust standard
        deviations of the item's lesion-free brain (NaN where there is none); ``marked``, the share of it in the mask,
        and ``found``.

    Raises
    ------
    InputError
        Shapes or lengths differ.
    """
    images, truth, brain, masks = (np.asanyarray(array) for array in (images, truth, brain, masks))
    for name, array in (("truth", truth), ("brain", brain), ("masks", masks)):
        if array.shape != images.shape:
            raise InputError(f"{name}: expected the shape of the images, {images.shape}, found {array.shape}")
    columns = {"subject": np.asarray(subjects), "pathology": np.asarray(pathologies), "ml": np.asarray(voxel_ml)}
    for name, column in columns.items():
        if column.shape != images.shape[:1]:
            raise InputError(f"{name}: expected {len(images)} entries, one per item, found {column.shape}")
    rows = []
    for item in np.flatnonzero(truth.reshape(len(truth), -1).any(axis=1)):
        common = {"item": int(item), "subject": columns["subject"][item], "pathology": columns["pathology"][item]}
        for size, contrast, marked in _lesions(images[item], truth[item] != 0, brain[item] != 0, masks[item] != 0):
            measured = {"volume_ml": size * columns["ml"][item], "contrast": contrast, "marked": marked}
            rows.append(common | measured | {"found": marked >= OVERLAP * (1 - 1e-9)})
    return pd.DataFrame(
        rows, columns=["item", "subject", "pathology", "volume_ml", "contrast", "marked", "found"]
    ).astype({"found": bool, "item": int})


def found_by_band(
    lesions: pd.DataFrame,
    *,
    volume_edges: Sequence[float] = BAND_EDGES_ML,
    contrast_edges: Sequence[float] = CONTRAST_EDGES,
    draws: int = DRAWS,
    seed: int = 0,
) -> pd.DataFrame:
    """Give the share of lesions found, by size and contrast.

    Parameters
    ----------
    lesions : pandas.DataFrame
        From :func:`lesion_table`; lesions without a contrast count in the bands of size only.
    volume_edges, contrast_edges : sequence of float
        Rising edges between the bands, in ml and in standard deviations; a band holds its lower edge.
    draws, seed : int
        Bootstrap draws of people.

    Returns
    -------
    pandas.DataFrame
        ``size`` and ``contrast`` (names of bands, or ``"all"``), ``lesions``, ``people``, ``value`` (the share found)
        and its 95 % interval over people ``low, high`` (NaN with fewer than two people); bands without a lesion are
        left out.
    """
    sizes, contrasts = band_labels(volume_edges, " ml"), band_labels(contrast_edges, " SD")
    # Sizes from headers keep single precision.
    which_size = np.searchsorted(volume_edges, lesions["volume_ml"] * (1 + 1e-6), side="right")
    which_contrast = np.searchsorted(contrast_edges, lesions["contrast"], side="right")
    which_contrast = np.where(lesions["contrast"].isna(), -1, which_contrast)
    everything = np.ones(len(lesions), bool)
    rows = []
    for size, of_size in [*((name, which_size == n) for n, name in enumerate(sizes)), (ALL, everything)]:
        for contrast, of_contrast in [
            *((name, which_contrast == n) for n, name in enumerate(contrasts)),
            (ALL, everything),
        ]:
            chosen = lesions[of_size & of_contrast]
            if len(chosen):
                rows.append({"size": size, "contrast": contrast} | _share_found(chosen, draws, seed))
    return pd.DataFrame(rows, columns=["size", "contrast", "lesions", "people", "value", "low", "high"])


def band_labels(edges: Sequence[float], unit: str) -> list[str]:
    """Name the bands between edges: ``< 0.1 ml``, ``0.1 to 1 ml``, ..., ``≥ 10 ml``; with true minus signs."""
    between = [f"{low:g} to {high:g}{unit}" for low, high in pairwise(edges)]
    return [name.replace("-", "−") for name in [f"< {edges[0]:g}{unit}", *between, f"≥ {edges[-1]:g}{unit}"]]


def _lesions(image: NDArray, truth: NDArray, brain: NDArray, mask: NDArray) -> list[tuple[int, float, float]]:
    """Voxels, contrast and marked share of each lesion of an item."""
    everywhere = ndimage.generate_binary_structure(truth.ndim, truth.ndim)
    labels, _ = ndimage.label(truth, everywhere)
    normal = brain & ~truth
    inside = image[normal].astype(np.float64)
    spread = _TO_SD * np.median(np.abs(inside - np.median(inside))) if inside.size else 0.0
    measured = []
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        wide = tuple(slice(max(side.start - _RING, 0), side.stop + _RING) for side in box)
        lesion = labels[wide] == number
        ring = ndimage.binary_dilation(lesion, everywhere, iterations=_RING) & normal[wide]
        contrast = float("nan")
        if ring.any() and spread > 0:
            contrast = float(np.median(image[wide][lesion]) - np.median(image[wide][ring])) / spread
        measured.append((int(lesion.sum()), contrast, float(mask[wide][lesion].mean())))
    return measured


def _share_found(lesions: pd.DataFrame, draws: int, seed: int) -> dict[str, float]:
    """Share of lesions found, with its interval over people."""
    people = lesions.groupby("subject")["found"].agg(["sum", "size"])
    low, high = float("nan"), float("nan")
    if len(people) > 1:
        weights = subject_weights(len(people), draws=draws, seed=seed)
        found, sizes = people["sum"].to_numpy(np.float64), people["size"].to_numpy(np.float64)
        low, high = interval(ratio_draws(found, sizes, weights), subjects=len(people))
    share = float(lesions["found"].mean())
    return {"lesions": len(lesions), "people": len(people), "value": share, "low": low, "high": high}
