"""From prepared space back to the raw scan's own grid, and forth."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from uad_data.errors import InputError
from uad_data.preparation.resampling import Affine, Shape, resample, resample_labels


@dataclass(frozen=True, eq=False)
class WayBack:
    """Two grids of one person and the movement between them: what every spatial step of a recipe comes to.

    Parameters
    ----------
    native_shape, prepared_shape : tuple of int
        ``(d, h, w)`` of the raw scan, turned to RAS+ as `uad_data.readers.read_volume` gives it, and of the prepared
        one.
    native_affine, prepared_affine : ndarray, shape (4, 4)
        Voxels ``(w, h, d)`` to RAS+ millimetres of each.
    prepared_to_native : ndarray, shape (4, 4)
        Millimetres of prepared space to millimetres of the raw scan.
    """

    native_shape: Shape
    native_affine: Affine
    prepared_shape: Shape
    prepared_affine: Affine
    prepared_to_native: Affine

    def to_native(self, volume: NDArray) -> NDArray:
        """Take a map or a mask of prepared space to the raw scan's grid.

        Parameters
        ----------
        volume : ndarray, shape `prepared_shape`
            Floats are a map (linear); bool and whole numbers are a mask or classes (what fills half of a voxel).

        Returns
        -------
        ndarray, shape `native_shape`
            float32 for a map, bool or uint8 for a mask; 0 outside the prepared box.

        Raises
        ------
        InputError
            The shape is not that of prepared space.
        """
        return self._move(volume, back=True)

    def to_prepared(self, volume: NDArray) -> NDArray:
        """Take an image or a mask of the raw scan's grid to prepared space.

        Parameters
        ----------
        volume : ndarray, shape `native_shape`
            As for `to_native`.

        Returns
        -------
        ndarray, shape `prepared_shape`

        Raises
        ------
        InputError
            The shape is not the raw scan's.
        """
        return self._move(volume, back=False)

    def to_dict(self) -> dict[str, Any]:
        """Give the fields as they stand in ``prepare.json``."""
        return {
            "native": {"shape": list(self.native_shape), "affine": self.native_affine.tolist()},
            "prepared": {"shape": list(self.prepared_shape), "affine": self.prepared_affine.tolist()},
            "prepared_to_native": self.prepared_to_native.tolist(),
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Make one of what `to_dict` gave, or of the content of ``prepare.json``.

        Parameters
        ----------
        record : mapping
            With the keys of `to_dict`; others are ignored.

        Returns
        -------
        WayBack

        Raises
        ------
        InputError
            A key is missing or is no grid.
        """
        try:
            native, prepared = record["native"], record["prepared"]
            return cls(
                native_shape=_shape(native),
                native_affine=_affine(native["affine"]),
                prepared_shape=_shape(prepared),
                prepared_affine=_affine(prepared["affine"]),
                prepared_to_native=_affine(record["prepared_to_native"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"prepare.json: expected the grids and the transform of a prepared scan, found none that can be used "
                f"({type(error).__name__}: {error}); prepare the scan again"
            ) from error

    def _move(self, volume: NDArray, *, back: bool) -> NDArray:
        """Resample between the two grids."""
        here, there = (self.prepared_shape, self.native_shape) if back else (self.native_shape, self.prepared_shape)
        from_, to = (self.prepared_affine, self.native_affine) if back else (self.native_affine, self.prepared_affine)
        if volume.shape != here:
            space = "prepared" if back else "raw"
            raise InputError(f"volume to move: expected the {space} scan's shape {here}, found {volume.shape}")
        world = np.linalg.inv(self.prepared_to_native) if back else self.prepared_to_native
        if np.issubdtype(volume.dtype, np.floating):
            return resample(volume, from_, shape=there, to=to, world=world)
        labels = resample_labels(volume, from_, shape=there, to=to, world=world)
        return labels.astype(bool) if volume.dtype == np.bool_ else labels


def _shape(grid: Mapping[str, Any]) -> Shape:
    """Read ``(d, h, w)``."""
    d, h, w = (int(length) for length in grid["shape"])
    return d, h, w


def _affine(values: Any) -> Affine:
    """Read a 4 × 4 matrix that can be inverted."""
    matrix = np.array(values, dtype=np.float64)
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all() or not np.linalg.det(matrix):
        raise ValueError(f"no invertible 4 × 4 matrix: {values!r}")
    return matrix
