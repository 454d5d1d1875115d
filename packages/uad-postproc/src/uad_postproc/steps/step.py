"""What every step is: a frozen dataclass that turns the arrays of a batch into arrays of the same shape."""

from numbers import Real
from typing import ClassVar, Literal

import numpy as np

from uad_postproc.context import Context
from uad_postproc.errors import InputError

Unit = Literal["voxel", "mm"]


class Step:
    """One step of a pipeline; subclasses are frozen dataclasses of their settings.

    ``takes`` says what it works on: continuous maps (before the threshold), masks (after it), or either.
    Items never influence each other, and what a step returns is 0 outside the brain.
    """

    takes: ClassVar[frozenset[str]]

    def apply(self, x: np.ndarray, context: Context) -> np.ndarray:
        """Apply the step.

        Parameters
        ----------
        x : numpy.ndarray, (n, *spatial)
            Maps (float32) or masks (bool), 0 outside the brain.
        context : Context
            Brain, voxel size and the rest, on the same grid.

        Returns
        -------
        numpy.ndarray, (n, *spatial)
            float32 from maps, bool from masks; the threshold turns one into the other.
        """
        raise NotImplementedError


def check_number(step: str, name: str, value: object, *, least: float) -> float:
    """Return a setting as float, refusing what is not a finite number of at least so much."""
    if not isinstance(value, Real) or isinstance(value, bool) or not np.isfinite(float(value)) or value < least:
        raise InputError(f"{step}: {name}: expected a finite number, {least:g} or more, found {value!r}")
    return float(value)


def check_radius(step: str, radius: float, unit: str) -> None:
    """Refuse a radius that is not positive, or a unit that is not one of the two."""
    if not np.isfinite(radius) or radius <= 0:
        raise InputError(f"{step}: radius: expected a positive number, found {radius}")
    if unit not in ("voxel", "mm"):
        raise InputError(f"{step}: unit: expected 'voxel' or 'mm', found {unit!r}")


def check_window(step: str, size: int) -> None:
    """Refuse a window that has no middle voxel or is of no use."""
    if not isinstance(size, int) or size < 3 or size % 2 == 0:
        raise InputError(f"{step}: size: expected an odd number of voxels, 3 or more, found {size}")
