"""Brain extraction from raw heads: one way per file, all of them listed in `EXTRACTORS`."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from uad_data.brain_extraction.ct import extract_ct
from uad_data.brain_extraction.external import extract_bet, extract_hd_bet, extract_synthstrip
from uad_data.brain_extraction.stripped import extract_stripped
from uad_data.brain_extraction.template import extract_template
from uad_data.brain_mask import is_stripped, stripped_mask
from uad_data.errors import InputError

_LARGEST_BRAIN_ML = 2200.0

Extractor = Callable[[NDArray[np.float32], NDArray[np.float64]], NDArray[np.bool_]]

EXTRACTORS: dict[str, Extractor] = {
    "template": extract_template,
    "ct": extract_ct,
    "stripped": extract_stripped,
    "hd-bet": extract_hd_bet,
    "synthstrip": extract_synthstrip,
    "bet": extract_bet,
}
"""Ways to find the brain by name; ``"auto"`` is not one of them but chooses among the first three."""


def extract_brain(
    volume: NDArray, affine: NDArray, *, modality: str = "t1", extractor: str = "auto"
) -> NDArray[np.bool_]:
    """Mask the brain of one scan.

    Parameters
    ----------
    volume : ndarray, shape (d, h, w)
        One sequence, any unit; CT in Hounsfield units. Axes towards superior, anterior, right, as `read_volume` gives.
    affine : ndarray, shape (4, 4)
        Maps voxel indices ``(i, j, k) = (w, h, d)`` to RAS mm.
    modality : str
        ``"ct"``, or any name of an MR sequence.
    extractor : str
        A name of `EXTRACTORS`, or ``"auto"``: ``"stripped"`` when scalp and bone are gone, else ``"ct"`` for CT and
        ``"template"`` for MRI.

    Returns
    -------
    ndarray, shape (d, h, w), bool

    Raises
    ------
    InputError
        The extractor is unknown or its program is missing, the volume is not 3D and finite, or no head is found in it.
    """
    if extractor != "auto" and extractor not in EXTRACTORS:
        raise InputError(
            f"brain extraction: expected the extractor to be one of auto, {', '.join(EXTRACTORS)}, found {extractor!r}"
        )
    values, placed = _check(volume, affine)
    name = _choose(values, placed, modality) if extractor == "auto" else extractor
    brain = EXTRACTORS[name](values, placed)
    if not brain.any():
        raise InputError(f"brain extraction by {name!r}: expected a head, found none in the volume; look at the scan")
    return brain


def _choose(volume: NDArray[np.float32], affine: NDArray[np.float64], modality: str) -> str:
    """Resolve "auto"."""
    if modality.lower() == "ct":
        return "ct" if (volume > 300).mean() > 0.005 else "stripped"
    # The ring of bone fades in blurred or thick slices; what is larger than any brain is a head all the same.
    ml = np.count_nonzero(stripped_mask(volume)) * abs(np.linalg.det(affine[:3, :3])) / 1000
    return "stripped" if ml <= _LARGEST_BRAIN_ML and is_stripped(volume) else "template"


def _check(volume: NDArray, affine: NDArray) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Refuse what no extractor can work on."""
    values = np.asarray(volume, np.float32)
    if values.ndim != 3 or values.size == 0 or not np.isfinite(values).all():
        found = f"shape {values.shape}" if values.ndim != 3 or values.size == 0 else "NaN or infinity"
        raise InputError(f"brain extraction: expected a finite volume (d, h, w), found {found}")
    if np.ptp(values) == 0:
        raise InputError("brain extraction: expected a head, found the same value everywhere; look at the scan")
    placed = np.asarray(affine, np.float64)
    if placed.shape != (4, 4) or not np.isfinite(placed).all() or abs(np.linalg.det(placed)) < 1e-9:
        raise InputError(f"brain extraction: expected an affine, 4 × 4 with an inverse, found {affine}")
    return values, placed
