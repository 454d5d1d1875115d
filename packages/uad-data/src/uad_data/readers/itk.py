"""SimpleITK, which reads what nibabel does not: MetaImage and DICOM."""

import warnings
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from uad_data.errors import InputError


def simple_itk(source: str) -> ModuleType:
    """Import SimpleITK.

    Parameters
    ----------
    source : str
        What is to be read, for the message.

    Returns
    -------
    module

    Raises
    ------
    InputError
        It is not installed.
    """
    try:
        with warnings.catch_warnings():
            # Its wrapped types make newer Pythons warn.
            warnings.simplefilter("ignore", DeprecationWarning)
            import SimpleITK
    except ImportError as error:
        raise InputError(
            f"{source}: expected the package SimpleITK, which reads MetaImage and DICOM, found none; "
            "install it: pip install SimpleITK"
        ) from error
    return SimpleITK


def affine_to_ras(origin: NDArray, axes: NDArray) -> NDArray[np.float64]:
    """Build the affine to RAS+ from ITK's coordinates, which grow to the left and to the back.

    Parameters
    ----------
    origin : ndarray, shape (3,)
        Place of the first voxel, mm.
    axes : ndarray, shape (3, 3)
        One step along each voxel axis as columns, mm.

    Returns
    -------
    ndarray, shape (4, 4), float64
    """
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = axes, origin
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
