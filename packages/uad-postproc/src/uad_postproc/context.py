"""What a step may know besides the map: where the brain is, how large a voxel is, what was reconstructed."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from uad_postproc.errors import InputError


@dataclass(frozen=True, eq=False)
class Context:
    """The surroundings of a batch of anomaly maps.

    Parameters
    ----------
    brain : numpy.ndarray, (n, h, w) or (n, d, h, w), bool
        The brain of each item. Everything outside it is 0 in every score and mask.
    spacing : sequence of float, optional
        Voxel size in mm along each spatial axis, the same for all items. Needed by steps that are given in mm or ml.
    image, reconstruction : numpy.ndarray, (n, *spatial) or (n, c, *spatial), optional
        What a method saw and what it made of it; both or neither. Used by the residual step.
    prior : numpy.ndarray, (n, *spatial), optional
        Weight of each voxel, 0 or more, such as an atlas of where lesions occur; used by the atlas prior.
        ``numpy.broadcast_to`` makes one weight serve all items.
    slice_thickness : float, optional
        Thickness of 2D slices in mm. Needed by steps given in ml when the items are slices.

    Raises
    ------
    InputError
        When shapes, types or sizes do not fit together.
    """

    brain: np.ndarray
    spacing: Sequence[float] | None = None
    image: np.ndarray | None = field(default=None, kw_only=True)
    reconstruction: np.ndarray | None = field(default=None, kw_only=True)
    prior: np.ndarray | None = field(default=None, kw_only=True)
    slice_thickness: float | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        brain = self.brain
        if not isinstance(brain, np.ndarray) or brain.dtype != bool or brain.ndim not in (3, 4):
            found = f"{brain.dtype} {brain.shape}" if isinstance(brain, np.ndarray) else type(brain).__name__
            raise InputError(f"brain: expected a bool array (n, h, w) or (n, d, h, w), found {found}")
        if self.spacing is not None:
            self._check_spacing(self.spacing)
        thickness = self.slice_thickness
        if thickness is not None and (self.spatial_ndim == 3 or not np.isfinite(thickness) or thickness <= 0):
            raise InputError(
                f"slice_thickness: expected a positive size in mm for 2D slices, found {thickness} "
                f"for {self.spatial_ndim}D items"
            )
        self._check_images()
        prior = self.prior
        if prior is not None:
            if prior.shape != brain.shape:
                raise InputError(f"prior: expected the brain's shape {brain.shape}, found {prior.shape}")
            if not (np.isfinite(prior) & (prior >= 0)).all():
                raise InputError("prior: expected finite weights of 0 or more, found others")

    def _check_spacing(self, spacing: Sequence[float]) -> None:
        """Refuse a spacing that is not one positive size in mm per spatial axis."""
        sizes = np.asarray(spacing, dtype=float)
        if sizes.shape != (self.spatial_ndim,) or not np.all(np.isfinite(sizes)) or np.any(sizes <= 0):
            raise InputError(
                f"spacing: expected {self.spatial_ndim} positive voxel sizes in mm, one per spatial axis, "
                f"found {spacing}"
            )

    def _check_images(self) -> None:
        """Refuse an image without reconstruction, or either in a shape that is not the brain's."""
        if (self.image is None) != (self.reconstruction is None):
            raise InputError("image and reconstruction: expected both or neither, found only one of them")
        for name in ("image", "reconstruction"):
            array = getattr(self, name)
            if array is None:
                continue
            plain = array.shape == self.brain.shape
            channels = array.ndim == self.brain.ndim + 1 and array.shape[:1] + array.shape[2:] == self.brain.shape
            if not plain and not channels:
                raise InputError(
                    f"{name}: expected (n, *spatial) or (n, c, *spatial) on the brain's grid {self.brain.shape}, "
                    f"found {array.shape}"
                )
        if self.image is not None and self.image.shape != self.reconstruction.shape:  # type: ignore[union-attr]
            raise InputError(
                f"image and reconstruction: expected equal shapes, found {self.image.shape} "
                f"and {self.reconstruction.shape}"  # type: ignore[union-attr]
            )

    @property
    def spatial_ndim(self) -> int:
        """Number of spatial axes: 2 for slices, 3 for volumes."""
        return self.brain.ndim - 1

    @property
    def voxel_mm(self) -> tuple[float, ...]:
        """Voxel size in mm along each spatial axis.

        Raises
        ------
        InputError
            When the spacing is unknown.
        """
        if self.spacing is None:
            raise InputError("a step in mm or ml needs the voxel size: give Context its spacing in mm")
        return tuple(float(size) for size in self.spacing)

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in ml.

        Raises
        ------
        InputError
            When the spacing, or for slices their thickness, is unknown.
        """
        volume = float(np.prod(self.voxel_mm)) / 1000.0
        if self.spatial_ndim == 3:
            return volume
        if self.slice_thickness is None:
            raise InputError("a step in ml needs the thickness of 2D slices: give Context its slice_thickness in mm")
        return volume * self.slice_thickness

    def rows(self, rows: slice) -> "Context":
        """Return the context of some of the items.

        Parameters
        ----------
        rows : slice
            Which of the n items.

        Returns
        -------
        Context
            Views on the same arrays.
        """
        parts: dict[str, Any] = {
            name: None if getattr(self, name) is None else getattr(self, name)[rows]
            for name in ("brain", "image", "reconstruction", "prior")
        }
        return replace(self, **parts)
