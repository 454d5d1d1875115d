"""Connected components of a mask: small ones are rarely lesions, the largest often are."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from uad_postproc.context import Context
from uad_postproc.errors import InputError
from uad_postproc.steps.step import Step

Connectivity = Literal["full", "face"]


@dataclass(frozen=True, kw_only=True)
class SmallObjectRemoval(Step):
    """Remove connected components below a size, given in voxels or in ml.

    In 2D a component is an area of one slice, and ml is its area times the slice's thickness.

    Parameters
    ----------
    min_voxels : int, optional
        Smallest component that stays, in voxels.
    min_ml : float, optional
        Smallest component that stays, in ml; needs the context's spacing. Exactly one of the two is given.
    connectivity : "full" or "face"
        Whether voxels that share only a corner or edge are connected (8 in 2D, 26 in 3D) or not (4, 6).
    """

    min_voxels: int | None = None
    min_ml: float | None = None
    connectivity: Connectivity = "full"
    takes: ClassVar[frozenset[str]] = frozenset({"mask"})

    def __post_init__(self) -> None:
        sizes = [size for size in (self.min_voxels, self.min_ml) if size is not None]
        if len(sizes) != 1 or not np.isfinite(sizes[0]) or sizes[0] <= 0:
            raise InputError(
                "SmallObjectRemoval: expected one of min_voxels and min_ml, positive, "
                f"found min_voxels={self.min_voxels}, min_ml={self.min_ml}"
            )
        _check_connectivity("SmallObjectRemoval", self.connectivity)

    def apply(self, x: np.ndarray, context: Context) -> np.ndarray:
        """See `Step.apply`."""
        out, least = np.zeros(x.shape, dtype=bool), self._least_voxels(context)
        for kept, voxels, labels in _components(x, out, self.connectivity):
            kept[voxels] = (np.bincount(labels) >= least)[labels]
        return out

    def _least_voxels(self, context: Context) -> float:
        """Smallest number of voxels that stays."""
        if self.min_ml is None:
            return float(self.min_voxels or 0)
        # Slack for voxel sizes from headers, which keep single precision: 0.9 mm is 0.89999998 there.
        return self.min_ml / context.voxel_ml * (1 - 1e-6)


@dataclass(frozen=True)
class LargestComponents(Step):
    """Keep the largest connected components of each item, at most so many; of equals those met first.

    For a pathology of which one lesion is expected. In 2D every slice is an item and keeps its own.

    Parameters
    ----------
    k : int
        Number of components, 1 or more.
    connectivity : "full" or "face"
        See `SmallObjectRemoval`.
    """

    k: int = 1
    connectivity: Connectivity = "full"
    takes: ClassVar[frozenset[str]] = frozenset({"mask"})

    def __post_init__(self) -> None:
        if not isinstance(self.k, int) or isinstance(self.k, bool) or self.k < 1:
            raise InputError(f"LargestComponents: k: expected a whole number, 1 or more, found {self.k!r}")
        _check_connectivity("LargestComponents", self.connectivity)

    def apply(self, x: np.ndarray, context: Context) -> np.ndarray:
        """See `Step.apply`."""
        out = np.zeros(x.shape, dtype=bool)
        for kept, voxels, labels in _components(x, out, self.connectivity):
            sizes = np.bincount(labels)
            _, first = np.unique(labels, return_index=True)
            order = np.lexsort((first, -sizes[1:]))[: self.k]
            kept[voxels] = np.isin(labels, order + 1)
        return out


def label(mask: np.ndarray, connectivity: Connectivity = "full") -> np.ndarray:
    """Give each connected component of one slice or volume a number.

    Parameters
    ----------
    mask : numpy.ndarray, (h, w) or (d, h, w), bool
        The mask.
    connectivity : "full" or "face"
        See `SmallObjectRemoval`.

    Returns
    -------
    numpy.ndarray, in the shape of the mask, unsigned integer
        0 where the mask is unset, 1, 2, ... in the components.
    """
    import cc3d  # imported late: few steps need it

    # A slice is labelled as a volume, and with a border: cc3d 4.1 tears components of slices of odd width apart with 8
    # neighbours, and cannot label a single line.
    volume, inner = np.zeros([size + 1 for size in mask.shape], bool), tuple(slice(size) for size in mask.shape)
    volume[inner] = mask
    deep = volume if mask.ndim == 3 else volume[None]
    labels = cc3d.connected_components(deep, connectivity=26 if connectivity == "full" else 6)
    return labels.reshape(volume.shape)[inner]


def _components(
    x: np.ndarray, out: np.ndarray, connectivity: Connectivity
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield the flat output of each item that is not empty, its set voxels, and their component, 1 or more."""
    for item, kept in zip(x, out, strict=True):
        voxels = np.flatnonzero(item)
        if voxels.size:
            yield kept.reshape(-1), voxels, label(item, connectivity).ravel()[voxels].astype(np.intp)


def _check_connectivity(step: str, connectivity: str) -> None:
    """Refuse a connectivity that is not one of the two."""
    if connectivity not in ("full", "face"):
        raise InputError(f"{step}: connectivity: expected 'full' or 'face', found {connectivity!r}")
