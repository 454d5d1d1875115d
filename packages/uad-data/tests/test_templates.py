"""The template brain."""

import numpy as np
import pytest

from uad_data.errors import InputError
from uad_data.preparation.templates import load_template


def test_built_in():
    template = load_template("mni152")
    assert template.name == "mni152"
    assert template.image.shape == template.brain.shape
    assert template.image.dtype == np.float32
    # ICBM's brain mask holds 1.9 l.
    assert 1800 < template.brain.sum() / 1000 < 1950
    # MNI's origin, the anterior commissure, lies deep inside.
    w, h, d = np.round(np.linalg.inv(template.affine)[:3, 3]).astype(int)
    assert template.brain[d - 3 : d + 4, h - 3 : h + 4, w - 3 : w + 4].all()


@pytest.mark.parametrize("spacing", [2.0, 3.5])
def test_resampling_keeps_the_brain_in_place(spacing):
    fine, coarse = load_template(), load_template(spacing=spacing)
    np.testing.assert_allclose(np.linalg.norm(coarse.affine[:3, :3], axis=0), spacing)
    assert coarse.brain.sum() * spacing**3 == pytest.approx(fine.brain.sum(), rel=0.02)
    centres = [t.affine[:3, :3] @ np.argwhere(t.brain).mean(0)[::-1] + t.affine[:3, 3] for t in (fine, coarse)]
    np.testing.assert_allclose(*centres, atol=0.2)


def test_own_files(write_nifti):
    image = np.random.default_rng(0).random((8, 9, 10), np.float32)
    brain = np.zeros((8, 9, 10), np.uint8)
    brain[2:6, 3:7, 3:8] = 1
    affine = np.diag([2.0, 2, 2, 1])
    path, mask = write_nifti("t.nii.gz", image, affine), write_nifti("b.nii.gz", brain, affine)
    template = load_template(path, brain=mask)
    np.testing.assert_array_equal(template.image, image.transpose(2, 1, 0))
    np.testing.assert_array_equal(template.brain, brain.transpose(2, 1, 0) > 0)
    # Without a mask the file has to be stripped.
    with pytest.raises(InputError, match=r"t\.nii\.gz.*skull-stripped"):
        load_template(path)
    stripped = load_template(write_nifti("s.nii.gz", image * brain, affine))
    np.testing.assert_array_equal(stripped.brain, brain.transpose(2, 1, 0) > 0)


def test_bad_requests(write_nifti, mask):
    with pytest.raises(InputError, match="'mni152' or the path"):
        load_template("mni153")
    with pytest.raises(InputError, match="positive"):
        load_template(spacing=0)
    with pytest.raises(InputError, match="its own brain mask"):
        load_template(brain="b.nii.gz")
    with pytest.raises(InputError, match="expected the shape"):
        load_template(write_nifti("t.nii.gz", shape=(4, 5, 7)), brain=write_nifti("b.nii.gz", mask))
