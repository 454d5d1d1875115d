"""Thresholds that each item's own map gives: Otsu's and Yen's.

They have seen neither labels nor healthy scans, and nothing is fitted: `Pipeline.fit` leaves them as they are, and
``threshold.value`` is None, because every item has another. The price is that they use the test image itself: every
item has a threshold and so, almost always, voxels above it, the healthy ones too. An item is a volume in 3D and a slice
in 2D, where neighbouring slices of a scan get different thresholds.

Sources
-------
N. Otsu, "A threshold selection method from gray-level histograms", IEEE Transactions on Systems, Man, and Cybernetics
9(1), 1979. J.-C. Yen, F.-J. Chang, S. Chang, "A new criterion for automatic multilevel thresholding", IEEE Transactions
on Image Processing 4(3), 1995. Both as scikit-image has them, on 256 bins.
"""

from dataclasses import dataclass

import numpy as np

from uad_postproc.context import Context
from uad_postproc.steps.thresholds import Threshold


class PerItemThreshold(Threshold):
    """Base of thresholds that are computed from each item's own map, inside its brain."""

    value = None

    def item_value(self, values: np.ndarray) -> float:
        """Return the threshold of one item.

        Parameters
        ----------
        values : numpy.ndarray, (m,), float32
            Its voxels inside the brain, at least two different values.

        Returns
        -------
        float
            In the units of the map.
        """
        raise NotImplementedError

    def apply(self, x: np.ndarray, context: Context) -> np.ndarray:
        """Set the voxels of each brain above its own threshold; none where all have one value.

        Parameters
        ----------
        x : numpy.ndarray, (n, *spatial), float32
            Maps.
        context : Context
            The brain.

        Returns
        -------
        numpy.ndarray, (n, *spatial), bool
            The mask.
        """
        out = np.zeros(x.shape, dtype=bool)
        for item, brain, mask in zip(x, context.brain, out, strict=True):
            values = item[brain]
            if values.size and values.min() < values.max():
                mask[brain] = values > np.float32(self.item_value(values))
        return out


@dataclass(frozen=True)
class Otsu(PerItemThreshold):
    """The threshold that best separates two groups of an item's values by their variance.

    It expects two groups of comparable size; with a lesion of a few voxels it splits healthy tissue.
    """

    def item_value(self, values: np.ndarray) -> float:
        """See `PerItemThreshold.item_value`."""
        from skimage.filters import threshold_otsu  # imported late: slow to import

        return float(threshold_otsu(values))


@dataclass(frozen=True)
class Yen(PerItemThreshold):
    """The threshold that maximises the correlation criterion of Yen et al.; it copes with small bright groups."""

    def item_value(self, values: np.ndarray) -> float:
        """See `PerItemThreshold.item_value`."""
        from skimage.filters import threshold_yen  # imported late: slow to import

        return float(threshold_yen(values))
