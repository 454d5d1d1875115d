import numpy as np
import pytest

from uad_data.errors import InputError
from uad_data.readers.values import check_image, check_labels


def test_image_becomes_float32():
    image = check_image(np.arange(8, dtype=np.int16).reshape(2, 2, 2), "a.nii")
    assert image.dtype == np.float32
    assert image.ravel().tolist() == list(range(8))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_not_finite(bad):
    array = np.arange(8.0)
    array[3] = bad
    with pytest.raises(InputError, match=r"a\.nii: expected finite intensities, found NaN or infinity in 1 of 8"):
        check_image(array, "a.nii")


def test_constant():
    with pytest.raises(InputError, match=r"a\.nii: expected an image, found the same value 7"):
        check_image(np.full((2, 2), 7), "a.nii")


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float64, np.bool_])
def test_labels_of_any_type(dtype):
    labels = check_labels(np.array([0, 1, 1], dtype), "m.nii")
    assert labels.dtype == np.uint8
    assert labels.tolist() == [0, 1, 1]


def test_labels_rounded_off_by_a_scale_factor():
    assert check_labels(np.array([0, 0.99999, 4.00001]), "m.nii").tolist() == [0, 1, 4]


@pytest.mark.parametrize("bad", [0.5, -1, 256, np.nan, np.inf])
def test_unknown_labels(bad):
    with pytest.raises(InputError, match=r"m\.nii: expected a mask of whole-numbered labels .* found .* in 1 voxels"):
        check_labels(np.array([0, 1, bad]), "m.nii")
