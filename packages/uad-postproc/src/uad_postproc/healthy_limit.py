"""The lowest threshold that keeps what is marked in healthy scans, after the whole pipeline, below a stated amount.

A share of voxels above a threshold (`uad_postproc.steps.HealthyQuantile`) says little about a mask: opening and the
removal of small components take most of it away again. Here the finished masks are counted.
"""

from collections.abc import Callable

import numpy as np

from uad_postproc.errors import InputError

_CLOSE = 0.99  # a threshold that uses this share of what is allowed is good enough


def lowest_threshold(scores: np.ndarray, marked: Callable[[float], float], *, at_most: float) -> float:
    """Choose the lowest threshold at which healthy scans get at most a stated amount marked.

    Parameters
    ----------
    scores : numpy.ndarray, any shape
        Scores of healthy validation voxels; the threshold is one of them.
    marked : callable
        Threshold to what is marked at it, such as the mean volume in ml of a healthy scan, all steps after the
        threshold included; must fall, or stay, as the threshold rises.
    at_most : float
        The stated amount, above 0, in the units of `marked`.

    Returns
    -------
    float
        At it at most the stated amount is marked. The search ends when 99 % of that are used, or no lower threshold is
        allowed.

    Raises
    ------
    InputError
        The amount is not above 0, there is no voxel, or a score is not finite.
    """
    if not at_most > 0:
        raise InputError(f"what healthy scans may get marked: expected above 0, found {at_most}")
    falling = np.sort(np.asarray(scores).ravel())[::-1]
    if not falling.size or not np.isfinite(falling).all():
        raise InputError(
            f"a threshold for what healthy scans may get marked needs finite scores of healthy voxels, found "
            f"{falling.size} scores, {np.count_nonzero(~np.isfinite(falling))} of them not finite"
        )
    # How many voxels may exceed the threshold; it is looked for by ratio, because marked voxels are few.
    allowed, refused = 0, falling.size
    while refused - allowed > 1:
        above = min(max(int(np.sqrt(max(allowed, 1) * refused)), allowed + 1), refused - 1)
        found = marked(float(falling[above]))
        if found > at_most:
            refused = above
            continue
        allowed = above
        if found >= _CLOSE * at_most:
            break
    return float(falling[allowed])
