"""The scan: one subject's registered sequences on one grid, with its brain and its lesion."""

from dataclasses import dataclass

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from uad_data.errors import InputError


@dataclass(frozen=True, eq=False)
class Scan:
    """One subject's sequences on one RAS+ grid.

    Axes are ``c`` channels (sequences), ``d`` ascending towards superior, ``h`` ascending towards anterior,
    ``w`` ascending towards the subject's right.

    Parameters
    ----------
    image : ndarray, shape (c, d, h, w), float32
        Intensities as they stand in the files, one channel per sequence; finite.
    brain : ndarray, shape (d, h, w), bool
        The voxels of the brain.
    lesion : ndarray, shape (d, h, w), uint8, or None
        0 healthy, 1 and above lesion classes; None where nobody has annotated the scan.
    affine : ndarray, shape (4, 4), float64
        Maps voxel indices ``(i, j, k) = (w, h, d)`` to RAS+ millimetres: nibabel's affine of the array
        ``image[c].transpose(2, 1, 0)``.
    modalities : tuple of str
        Name of each channel, such as ``("t1", "flair")``.
    subject : str
        Name of the person; both visits of one person carry the same.
    pathology : str
        Name of the disease, ``"healthy"`` for none.
    session : str
        Name of the visit; empty where there is only one.

    Raises
    ------
    InputError
        A field breaks the description above; the message names the subject and the field.
    """

    image: NDArray[np.float32]
    brain: NDArray[np.bool_]
    lesion: NDArray[np.uint8] | None
    affine: NDArray[np.float64]
    modalities: tuple[str, ...]
    subject: str
    pathology: str
    session: str = ""

    def __post_init__(self) -> None:
        self._check_text()
        self._check_array("image", self.image, 4, np.float32)
        if not np.isfinite(self.image).all():
            raise self._error("image", "finite values", "NaN or infinity")
        if len(self.modalities) != len(self.image):
            raise self._error("modalities", f"{len(self.image)} names, one per channel", repr(self.modalities))
        self._check_array("brain", self.brain, 3, np.bool_)
        if self.lesion is not None:
            self._check_array("lesion", self.lesion, 3, np.uint8)
        for field, mask in (("brain", self.brain), ("lesion", self.lesion)):
            if mask is not None and mask.shape != self.image.shape[1:]:
                raise self._error(field, f"the image's shape {self.image.shape[1:]}", f"{mask.shape}")
        self._check_affine()

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size in millimetres along ``(d, h, w)``."""
        w, h, d = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(d), float(h), float(w)

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in millilitres."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000

    def _error(self, field: str, expected: str, found: str) -> InputError:
        """Word one broken field."""
        name = f"subject {self.subject!r}" + (f", session {self.session!r}" if self.session else "")
        return InputError(f"scan of {name}: {field}: expected {expected}, found {found}")

    def _check_text(self) -> None:
        """Names are there and channels are told apart."""
        for field in ("subject", "pathology"):
            if not getattr(self, field):
                raise self._error(field, "a name", "an empty one")
        if len(set(self.modalities)) != len(self.modalities):
            raise self._error("modalities", "different names", repr(self.modalities))

    def _check_array(self, field: str, array: object, ndim: int, dtype: type) -> None:
        """Check that the array has the promised number of axes, is not empty and has the promised type."""
        if not isinstance(array, np.ndarray) or array.ndim != ndim or array.size == 0:
            raise self._error(field, f"a {ndim}-dimensional array", f"{getattr(array, 'shape', type(array))}")
        if array.dtype != dtype:
            raise self._error(field, np.dtype(dtype).name, array.dtype.name)

    def _check_affine(self) -> None:
        """Check that the affine is a finite RAS+ one."""
        self._check_array("affine", self.affine, 2, np.float64)
        if self.affine.shape != (4, 4) or not np.isfinite(self.affine).all():
            raise self._error("affine", "4 × 4 finite numbers", repr(self.affine))
        codes = nib.orientations.aff2axcodes(self.affine)
        if codes != ("R", "A", "S"):
            raise self._error("affine", "axes w, h, d towards R, A, S", f"{codes}")
