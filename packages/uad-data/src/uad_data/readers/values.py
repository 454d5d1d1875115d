"""What the numbers in an image or a mask may be, whatever file they came from."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from uad_data.errors import InputError


def check_image(array: NDArray, source: str | Path) -> NDArray[np.float32]:
    """Return the image as float32; InputError for NaN, infinity and constant images."""
    image = np.ascontiguousarray(array, dtype=np.float32)
    bad = int(np.count_nonzero(~np.isfinite(image)))
    if bad:
        raise InputError(
            f"{source}: expected finite intensities, found NaN or infinity in {bad} of {image.size} voxels; "
            "write another value, such as 0, there"
        )
    if image.min() == image.max():
        raise InputError(f"{source}: expected an image, found the same value {image.flat[0]:g} in every voxel")
    return image


def check_labels(array: NDArray, source: str | Path) -> NDArray[np.uint8]:
    """Return the mask as uint8; InputError for labels that are not whole numbers from 0 to 255."""
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    values = np.asarray(array)
    with np.errstate(invalid="ignore"):
        unknown = ~((values >= 0) & (values <= 255) & (np.abs(values - np.rint(values)) < 1e-3))
    if unknown.any():
        found = ", ".join(f"{value:g}" for value in np.unique(values[unknown])[:5])
        raise InputError(
            f"{source}: expected a mask of whole-numbered labels from 0 to 255, found {found} "
            f"in {int(unknown.sum())} voxels; is it an image or a probability map?"
        )
    return np.ascontiguousarray(np.rint(values), dtype=np.uint8)
