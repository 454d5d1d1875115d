"""How much of a lesion a reconstruction carries along: what decides whether its residual can show the lesion."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from uad_eval.errors import InputError


def lesion_contrast(
    images: ArrayLike, reconstructions: ArrayLike, truth: ArrayLike, brain: ArrayLike, subjects: Sequence[str] | NDArray
) -> pd.DataFrame:
    """Compare a lesion's contrast in the scans with that in their reconstructions.

    Parameters
    ----------
    images, reconstructions : array_like of float, shape (n, *spatial)
        One channel.
    truth : array_like, shape (n, *spatial)
        Non-zero is lesion.
    brain : array_like of bool, shape (n, *spatial)
    subjects : sequence of str, shape (n,)

    Returns
    -------
    pandas.DataFrame
        A row per subject with lesion and healthy voxels in the brain: ``subject``; ``contrast``, mean of the lesion
        less mean of the rest of the brain, in the scan; ``redrawn``, the same in the reconstruction; ``kept``, their
        ratio (0 where the reconstruction knows nothing of the lesion, 1 where it carries all of it);
        ``residual_lesion``, mean of scan less reconstruction over the lesion; ``error_healthy``, mean absolute
        difference over the rest; ``likeness``, correlation of scan and reconstruction over the rest: near 0 the
        reconstruction shows no anatomy, and its residual is a threshold on brightness; NaN where it is flat.

    Raises
    ------
    InputError
        Shapes or lengths differ.
    """
    images, reconstructions = np.asanyarray(images), np.asanyarray(reconstructions)
    lesion, brain, subjects = np.asanyarray(truth) != 0, np.asanyarray(brain), np.asarray(subjects).astype(str)
    for name, array in {"reconstructions": reconstructions, "truth": lesion, "brain": brain}.items():
        if array.shape != images.shape:
            raise InputError(f"{name}: expected the shape of the images, {images.shape}, found {array.shape}")
    if subjects.shape != images.shape[:1]:
        raise InputError(f"subjects: expected {images.shape[0]} names, one per image, found {subjects.shape}")
    rows = []
    for subject in np.unique(subjects):
        own = subjects == subject
        inside, rest = lesion[own] & brain[own], ~lesion[own] & brain[own]
        if not inside.any() or not rest.any():
            continue
        scan, redrawn = images[own].astype(np.float64), reconstructions[own].astype(np.float64)
        contrast, copied = (float(each[inside].mean() - each[rest].mean()) for each in (scan, redrawn))
        rows.append(
            {"subject": subject, "contrast": contrast, "redrawn": copied}
            | {"kept": copied / contrast if contrast else float("nan")}
            | {"residual_lesion": float((scan - redrawn)[inside].mean())}
            | {"error_healthy": float(np.abs(scan - redrawn)[rest].mean())}
            | {"likeness": _correlation(scan[rest], redrawn[rest])}
        )
    columns = ["subject", "contrast", "redrawn", "kept", "residual_lesion", "error_healthy", "likeness"]
    return pd.DataFrame(rows, columns=columns)


def _correlation(one: NDArray, other: NDArray) -> float:
    """Pearson's; NaN where one of the two is flat."""
    one, other = one - one.mean(), other - other.mean()
    size = float(np.sqrt((one**2).sum() * (other**2).sum()))
    return float((one * other).sum()) / size if size > 0 else float("nan")
