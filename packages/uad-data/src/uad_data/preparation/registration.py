"""Rigid and affine registration of two brains, by mutual information from several starts.

Both images are first brought to cubic voxels along the RAS axes, so that oblique headers, shear, thick slices and tiny
voxels need no care later. Short runs on coarse images start from the centres of mass with the head as the header says
and turned by 30 degrees about each axis; the best ones go on to finer images, and the best of those is refined.
"""

from itertools import product
from typing import Literal, TypeAlias

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from uad_data.errors import InputError
from uad_data.preparation.single_thread import single_thread

Centred: TypeAlias = sitk.Euler3DTransform | sitk.AffineTransform
TransformKind = Literal["rigid", "affine"]
_COARSE_MM, _MIDDLE_MM, _FINE_MM = 8.0, 4.0, 2.0
# Share of the voxels that the similarity is computed on.
_SHARE = {_COARSE_MM: 1.0, _MIDDLE_MM: 0.3, _FINE_MM: 0.1}
# Background around the images. Around the moving one it has to take in whatever the fixed one may be laid on: voxels
# that fall off the image do not count, and a fit would be the better the fewer are left.
_FIXED_MARGIN, _MOVING_MARGIN = 12.0, {_COARSE_MM: 80.0, _MIDDLE_MM: 40.0, _FINE_MM: 20.0}
_TURN = np.deg2rad(30.0)
_KEPT = 2
_BINS = 32
_ITERATIONS = {_COARSE_MM: 20, _MIDDLE_MM: 30, _FINE_MM: 10}


def register(
    moving: NDArray,
    moving_affine: NDArray,
    fixed: NDArray,
    fixed_affine: NDArray,
    *,
    transform: TransformKind = "rigid",
    moving_mask: NDArray | None = None,
    fixed_mask: NDArray | None = None,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Find where each point of the fixed image lies in the moving one.

    Parameters
    ----------
    moving, fixed : ndarray, shape (d, h, w)
        Two images of a brain, of any contrast; finite. Registering a whole head to a bare brain needs `moving_mask`.
    moving_affine, fixed_affine : ndarray, shape (4, 4)
        Map voxel indices ``(i, j, k) = (w, h, d)`` to RAS mm.
    transform : {"rigid", "affine"}
        Six degrees of freedom, or twelve.
    moving_mask, fixed_mask : ndarray of bool, shapes of the images, optional
        The brains. What lies outside is taken for background, 0.
    seed : int
        Of the voxels that the similarity is computed on.

    Returns
    -------
    ndarray, shape (4, 4), float64
        Maps RAS mm of the fixed image to RAS mm of the moving one. Its inverse is the other way.

    Raises
    ------
    InputError
        An image is not 3D and finite, is empty within its mask, an affine has no inverse or the transform is unknown.

    Notes
    -----
    Mattes' mutual information (D. Mattes et al., IEEE TMI 22, 2003), conjugate gradients, by SimpleITK on one thread:
    the same bits for the same seed on one kind of machine, whatever else runs there.
    """
    if transform not in ("rigid", "affine"):
        raise InputError(f"registration: expected the transform 'rigid' or 'affine', found {transform!r}")
    _check(moving, moving_affine, moving_mask, "moving")
    _check(fixed, fixed_affine, fixed_mask, "fixed")
    with single_thread():
        return _matrix(_descend(moving, moving_affine, moving_mask, fixed, fixed_affine, fixed_mask, transform, seed))


def _descend(
    moving: NDArray,
    moving_affine: NDArray,
    moving_mask: NDArray | None,
    fixed: NDArray,
    fixed_affine: NDArray,
    fixed_mask: NDArray | None,
    transform: TransformKind,
    seed: int,
) -> Centred:
    """Go from all starts on coarse images to one on fine images."""
    levels = [_COARSE_MM, _MIDDLE_MM]
    # Finer than both images would only cost time.
    if min(abs(np.linalg.det(np.asarray(a)[:3, :3])) for a in (moving_affine, fixed_affine)) < _MIDDLE_MM**3 / 2:
        levels.append(_FINE_MM)
    pyramid = {
        mm: (
            _cubic(fixed, fixed_affine, fixed_mask, mm, margin=_FIXED_MARGIN),
            _cubic(moving, moving_affine, moving_mask, mm, margin=_MOVING_MARGIN[mm]),
        )
        for mm in levels
    }
    kept = sorted((_refine(*pyramid[_COARSE_MM], start, seed) for start in _starts(*pyramid[_COARSE_MM])), key=_cost)
    if transform == "affine":
        kept = [(cost, _as_affine(start)) for cost, start in kept]
    _, best = min((_refine(*pyramid[_MIDDLE_MM], start, seed) for _, start in kept[:_KEPT]), key=_cost)
    if _FINE_MM in levels:
        _, best = _refine(*pyramid[_FINE_MM], best, seed)
    return best


def _check(image: NDArray, affine: NDArray, mask: NDArray | None, name: str) -> None:
    """Refuse what cannot be registered."""
    if np.ndim(image) != 3 or np.size(image) == 0 or not np.isfinite(image).all():
        found = f"shape {np.shape(image)}" if np.ndim(image) != 3 or np.size(image) == 0 else "NaN or infinity"
        raise InputError(f"registration: {name} image: expected a finite volume (d, h, w), found {found}")
    if np.shape(affine) != (4, 4) or not np.isfinite(affine).all() or abs(np.linalg.det(affine)) < 1e-9:
        raise InputError(f"registration: {name} affine: expected 4 × 4 with an inverse, found {np.asarray(affine)}")
    if mask is not None and np.shape(mask) != np.shape(image):
        raise InputError(
            f"registration: {name} mask: expected the image's shape {np.shape(image)}, found {np.shape(mask)}"
        )
    inside = image if mask is None else np.asarray(image)[np.asarray(mask, bool)]
    if inside.size < 8 or np.ptp(inside) == 0:
        raise InputError(f"registration: {name} image: expected a brain, found {inside.size} voxels without contrast")


def _cubic(image: NDArray, affine: NDArray, mask: NDArray | None, mm: float, *, margin: float) -> sitk.Image:
    """Resample what is inside the mask to cubic voxels along the RAS axes, with a margin of background in mm."""
    values = np.asarray(image, np.float32)
    inside = np.ones(values.shape, bool) if mask is None else np.asarray(mask, bool)
    # The mask's edge would be the strongest one of an image whose background is far from 0.
    values = np.where(inside, values - min(float(values[inside].min()), 0.0), np.float32(0))
    box = ndimage.find_objects((values > 0).astype(np.uint8))[0]
    to_ras = np.asarray(affine, np.float64)
    own = np.linalg.norm(to_ras[:3, :3], axis=0)
    corners = np.array(list(product(*((b.start - 0.5, b.stop - 0.5) for b in box[::-1]))))
    ras = corners @ to_ras[:3, :3].T + to_ras[:3, 3]
    first = ras.min(0) - margin + mm / 2
    shape = np.ceil((np.ptp(ras, axis=0) + 2 * margin) / mm).astype(int)
    to_index = np.linalg.inv(to_ras)
    matrix = (to_index[:3, :3] * mm)[::-1, ::-1]
    offset = (to_index[:3, :3] @ first + to_index[:3, 3])[::-1]
    blurred = ndimage.gaussian_filter(values, 0.425 * np.sqrt(np.maximum((mm / own[::-1]) ** 2 - 1, 0)))
    sampled = ndimage.affine_transform(
        blurred, matrix, offset, tuple(shape[::-1]), order=1, mode="grid-constant", output=np.float32
    )
    # A few very bright voxels would leave the histogram of the rest to a few bins.
    found = sitk.GetImageFromArray(np.minimum(sampled, np.percentile(sampled[sampled > 0], 99.5)))
    found.SetSpacing([mm] * 3)
    found.SetOrigin(first.tolist())
    return found


def _centre(image: sitk.Image) -> NDArray[np.float64]:
    """Centre of mass in mm."""
    array = sitk.GetArrayViewFromImage(image)
    found = ndimage.center_of_mass(array)
    return np.array(image.GetOrigin()) + np.array(found)[::-1] * image.GetSpacing()[0]


def _starts(fixed: sitk.Image, moving: sitk.Image) -> list[sitk.Euler3DTransform]:
    """Centres of mass on one another, unturned and turned about each axis."""
    fixed_centre, moving_centre = _centre(fixed), _centre(moving)
    starts = []
    for angles in ((0.0, 0.0, 0.0), *(tuple(s * _TURN * np.eye(3)[axis]) for axis in range(3) for s in (1, -1))):
        start = sitk.Euler3DTransform()
        start.SetCenter(fixed_centre.tolist())
        start.SetTranslation((moving_centre - fixed_centre).tolist())
        start.SetRotation(*map(float, angles))
        starts.append(start)
    return starts


def _refine(fixed: sitk.Image, moving: sitk.Image, start: Centred, seed: int) -> tuple[float, Centred]:
    """Descend from a start; return the cost reached (negative mutual information) and the transform."""
    mm = fixed.GetSpacing()[0]
    found = type(start)(start)
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(_BINS)
    if _SHARE[mm] < 1:
        method.SetMetricSamplingStrategy(method.RANDOM)
        # ITK takes a seed of 0 for "from the clock".
        method.SetMetricSamplingPercentage(_SHARE[mm], seed % (2**31 - 1) + 1)
    method.SetInterpolator(sitk.sitkLinear)
    # A line search cannot overshoot; steps of a set length throw an affine far off at the first one.
    method.SetOptimizerAsConjugateGradientLineSearch(1.0, _ITERATIONS[mm], 1e-5, 5, 0.0, 2.0, 0.01, 8)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInitialTransform(found, inPlace=True)
    method.Execute(fixed, moving)
    return float(method.GetMetricValue()), found


def _cost(reached: tuple[float, Centred]) -> float:
    """Key to sort by."""
    return reached[0]


def _as_affine(start: Centred) -> sitk.AffineTransform:
    """Give a rigid start twelve degrees of freedom."""
    found = sitk.AffineTransform(3)
    found.SetCenter(start.GetCenter())
    found.SetMatrix(start.GetMatrix())
    found.SetTranslation(start.GetTranslation())
    return found


def _matrix(found: Centred) -> NDArray[np.float64]:
    """Write a centred transform as one 4 × 4 matrix."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(found.GetMatrix(), (3, 3))
    centre, shift = np.array(found.GetCenter()), np.array(found.GetTranslation())
    matrix[:3, 3] = shift + centre - matrix[:3, :3] @ centre
    return matrix
