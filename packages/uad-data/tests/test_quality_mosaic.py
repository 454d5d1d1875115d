import re

import imageio.v3 as iio
import numpy as np
import pytest

from uad_data.errors import InputError
from uad_data.quality.mosaic import draw_scan, mosaic, template_on_grid

SHAPE = (30, 40, 36)


def brain_box() -> np.ndarray:
    brain = np.zeros(SHAPE, bool)
    brain[14:20, 16:26, 14:22] = True
    return brain


def bounds(path: str) -> np.ndarray:
    """Give the least and greatest (x, y) of path data, in half millimetres; simplified, they may be one off."""
    corners = []
    for part in path.split("M")[1:]:
        start, steps = part.rstrip("z").split("l")
        points = np.cumsum(np.array((start + " " + steps).split(), int).reshape(-1, 2), axis=0)
        corners += [points]
    points = np.concatenate(corners)
    return np.array([points.min(axis=0), points.max(axis=0)])


def test_slices_are_side_by_side_as_radiologists_see_them() -> None:
    brain = brain_box()
    # Brightness grows towards the person's right, the front and the top.
    volume = sum(np.ogrid[tuple(slice(n) for n in SHAPE)]) * brain.astype(np.float32)
    volume[:, :, 19:] += 40 * brain[:, :, 19:]
    picture = mosaic(volume, brain, (1, 1, 1), None)
    image = iio.imread(picture.jpeg, extension=".jpg")
    # 12 mm around the brain, and 4 mm between: axial 32 wide, 34 high; coronal 32 × 28; sagittal 34 × 28, as the
    # grid ends 10 mm above the brain.
    assert image.shape == (34, 32 + 4 + 32 + 4 + 34)
    assert (picture.width, picture.height) == (212, 68)
    slices = [
        image[top + 12 : top + 12 + rows, left + 12 : left + 12 + columns].astype(int)
        for top, left, rows, columns in ((0, 0, 10, 8), (1, 36, 6, 8), (1, 72, 6, 10))
    ]
    axial, coronal, sagittal = slices
    for shown in slices:
        assert shown[:2].mean() > shown[-2:].mean() + 5
    for shown in (axial, coronal):
        assert shown[:, :3].min() > 150 > 100 > shown[:, 4:].max()
    assert sagittal[:, :2].mean() > sagittal[:, -2:].mean() + 5
    assert picture.marks == ((0, 34), (72, 34))


def test_outlines_lie_on_the_edges_of_the_masks() -> None:
    brain = brain_box()
    template = np.roll(brain, 3, axis=1)
    picture = mosaic(brain.astype(np.float32), brain, (1, 1, 1), template)
    axial, coronal, sagittal = (f"M{part}" for part in picture.brain.split("M")[1:])
    # Shown are w 2 to 34, d 2 to 30 (its end) and h 4 to 40 (its end), of which the first in each row are the last.
    np.testing.assert_allclose(bounds(axial), ([2 * (34 - 22), 2 * (40 - 26)], [2 * (34 - 14), 2 * (40 - 16)]), atol=1)
    left, top = 32 + 4, (36 - 28) // 2
    np.testing.assert_allclose(
        bounds(coronal), ([2 * (left + 12), 2 * (top + 30 - 20)], [2 * (left + 20), 2 * (top + 30 - 14)]), atol=1
    )
    left += 32 + 4
    np.testing.assert_allclose(
        bounds(sagittal), ([2 * (left + 14), 2 * (top + 30 - 20)], [2 * (left + 24), 2 * (top + 30 - 14)]), atol=1
    )
    np.testing.assert_allclose(
        bounds("M" + picture.template.split("M")[1]), ([24, 2 * (40 - 29)], [40, 2 * (40 - 19)]), atol=1
    )


def test_a_misplaced_brain_is_seen_whole_where_the_template_s_middle_is() -> None:
    template, brain = np.zeros((2, *SHAPE), bool)
    template[13:18, 10:20, 14:22] = True
    brain[13:18, 25:39, 14:22] = True
    picture = mosaic(brain.astype(np.float32), brain, (1, 1, 1), template)
    low, high = bounds("M" + picture.brain.split("M")[1])
    assert abs(high[1] - low[1] - 28) <= 1
    # The coronal slice goes through the template's middle, where this brain is not.
    assert picture.brain.count("M") == 2
    assert picture.template.count("M") == 3


def test_voxels_of_any_shape_are_drawn_in_proportion() -> None:
    brain = np.zeros((8, 40, 40), bool)
    brain[2:6, 10:30, 10:30] = True
    picture = mosaic(brain.astype(np.float32), brain, (5.0, 1.0, 1.0), None)
    coronal = bounds("M" + picture.brain.split("M")[2])
    np.testing.assert_allclose(coronal[1] - coronal[0], 40, atol=1)


def test_a_single_slice_and_an_empty_mask_are_drawn() -> None:
    flat = np.zeros((1, 20, 30), bool)
    flat[0, 5:15, 5:25] = True
    picture = mosaic(flat.astype(np.float32), flat, (5, 1, 1), None)
    assert (picture.width, picture.height) == (60, 40)
    empty = mosaic(np.random.default_rng(0).random(SHAPE), np.zeros(SHAPE, bool), (1, 1, 1), None)
    assert empty.brain == empty.template == ""
    assert empty.height == 80


def test_files_are_read_and_their_grids_compared(write_nifti) -> None:
    volume = np.random.default_rng(0).random((36, 40, 30)).astype(np.float32)
    image = write_nifti("t1.nii.gz", volume)
    brain = write_nifti("brain.nii.gz", brain_box().astype(np.uint8).transpose(2, 1, 0))
    direct = mosaic(volume.transpose(2, 1, 0), brain_box(), (1, 1, 1), None)
    assert draw_scan(str(image), str(brain), None) == direct
    assert draw_scan(str(image), "", None).brain == ""
    with pytest.raises(InputError, match=re.escape("expected the shape (30, 40, 36)")):
        draw_scan(str(image), str(write_nifti("small.nii.gz", np.ones((3, 4, 5), np.uint8))), None)


def test_the_template_s_brain_is_put_on_the_scan_s_grid() -> None:
    affine = np.diag([4.0, 4, 4, 1])
    affine[:3, 3] = -100, -130, -80
    brain = template_on_grid("mni152", (50, 60, 50), tuple(affine.ravel()))
    assert 1500 < brain.sum() * 0.064 < 2100
    # The brain's middle is near (0, -18, 10) mm.
    middle = affine[:3, :3] @ np.argwhere(brain).mean(axis=0)[::-1] + affine[:3, 3]
    np.testing.assert_allclose(middle, [0, -20, 12], atol=8)
    assert template_on_grid("gone.nii.gz", (5, 5, 5), tuple(np.eye(4).ravel())) is None
    assert template_on_grid("mni152", (5, 5, 5), tuple((np.eye(4) + [[0, 0, 0, 500]] * 4).ravel())) is None
