"""The grid of a scan: all of its files must lie on the first one's."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from uad_data.errors import InputError


@dataclass(frozen=True, eq=False)
class Grid:
    """Shape and place of one file's voxels.

    Parameters
    ----------
    source : str
        The file.
    shape : tuple of int
        Voxels along ``(d, h, w)``.
    affine : ndarray, shape (4, 4), float64
        As in `Scan`.
    """

    source: str
    shape: tuple[int, ...]
    affine: NDArray[np.float64]

    def require(self, other: "Grid") -> None:
        """Refuse a file that is not on this grid, to within half a voxel at every corner.

        Parameters
        ----------
        other : Grid
            The file to compare.

        Raises
        ------
        InputError
            The shapes differ, or the places do.
        """
        if other.shape != self.shape:
            raise InputError(
                f"{other.source}: expected the shape {self.shape} (d, h, w) of {self.source}, found {other.shape}; "
                "register and resample the scan's files to one grid"
            )
        d, h, w = ((0, size - 1) for size in self.shape)
        corners = np.array(np.meshgrid(w, h, d)).reshape(3, -1)
        difference = other.affine - self.affine
        apart = np.abs(difference[:3, :3] @ corners + difference[:3, 3:]).max()
        if apart > 0.5 * np.linalg.norm(self.affine[:3, :3], axis=0).min():
            raise InputError(
                f"{other.source}: expected the place in space of {self.source}, found one that is {apart:.1f} mm off; "
                "register and resample the scan's files to one grid, or repair the header"
            )
