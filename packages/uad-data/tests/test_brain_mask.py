import os
import re
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from skimage import io

from uad_data.brain_mask import brain_mask, head_slice_mask, is_stripped, stripped_mask
from uad_data.errors import InputError

SPACING = (4.0, 1.0, 1.0)


def ellipse(shape, centre, radii):
    y, x = np.ogrid[: shape[0], : shape[1]]
    return ((y - centre[0]) / radii[0]) ** 2 + ((x - centre[1]) / radii[1]) ** 2 <= 1


def head_slice(scale=1.0, lesion=True, seed=0):
    """Scalp, bone, brain with ventricles and a bright lesion at its edge; the brain is returned as the second array."""
    shape, centre = (192, 176), (98, 88)
    image = np.zeros(shape)
    for radii, level in (((84, 68), 180.0), ((76, 60), 12.0), ((70, 54), 80.0)):
        image[ellipse(shape, centre, np.array(radii) * scale)] = level
    brain = ellipse(shape, centre, np.array((70, 54)) * scale)
    for side in (-8, 8):
        image[ellipse(shape, (98, 88 + side), np.array((20, 5)) * scale)] = 15.0
    if lesion:
        image[ellipse(shape, (98, 88 + 42 * scale), np.array((20, 14)) * scale) & brain] = 150.0
    image = ndimage.gaussian_filter(image, 0.8)
    return np.abs(image + np.random.default_rng(seed).normal(0, 4, shape)).astype(np.float32), brain


def head_volume():
    scales = [0.80, 0.88, 0.94, 0.98, 1.0, 0.98, 0.95, 0.90, 0.83, 0.74]
    slices = [head_slice(scale, seed=k) for k, scale in enumerate(scales)]
    return np.stack([image for image, _ in slices]), np.stack([brain for _, brain in slices])


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def test_head_volume_keeps_brain_ventricles_and_lesion_and_drops_scalp_and_bone():
    volume, brain = head_volume()
    mask = brain_mask(volume, SPACING)
    assert not is_stripped(volume)
    assert dice(mask, brain) >= 0.95
    assert min(dice(m, b) for m, b in zip(mask, brain, strict=True)) >= 0.93
    lesion = brain & (volume > 120)
    assert mask[ndimage.binary_erosion(lesion, np.ones((1, 3, 3)))].mean() > 0.99
    scalp = ~ndimage.binary_dilation(brain, np.ones((1, 3, 3)), iterations=6)
    assert not (mask & scalp).any()


def test_single_head_slice():
    image, brain = head_slice()
    assert dice(brain_mask(image[None], (1.0, 1.0, 1.0))[0], brain) >= 0.95


def test_result_does_not_depend_on_intensity_unit_and_follows_pixel_shape():
    volume, brain = head_volume()
    mask = brain_mask(volume, SPACING)
    assert dice(brain_mask(volume * 37 - 500, SPACING), mask) > 0.99
    squeezed = brain_mask(volume[:, :, ::2], (4.0, 1.0, 2.0))
    assert dice(squeezed, brain[:, :, ::2]) >= 0.95


def test_slices_beyond_the_head_are_empty():
    volume, _ = head_volume()
    noise = np.abs(np.random.default_rng(1).normal(0, 4, (2, *volume.shape[1:]))).astype(np.float32)
    mask = brain_mask(np.concatenate([np.zeros_like(noise), volume, noise]), SPACING)
    assert not mask[:2].any()
    assert not mask[-2:].any()
    assert mask[2:-2].any((1, 2)).all()


@pytest.mark.parametrize("background", [0.0, 2.0])
def test_stripped_volume_is_masked_whole(background):
    volume, brain = head_volume()
    stripped = np.where(brain, volume + 10, background).astype(np.float32)
    assert is_stripped(stripped)
    mask = brain_mask(stripped, SPACING)
    np.testing.assert_array_equal(mask, brain)
    np.testing.assert_array_equal(stripped_mask(stripped), mask)


def test_stripped_single_slice_with_holes_and_seven_bits():
    image, brain = head_slice()
    stripped = np.where(brain, image // 2, 0)
    stripped[ellipse(stripped.shape, (98, 80), (15, 4))] = 0
    assert is_stripped(stripped[None])
    assert dice(brain_mask(stripped[None], (1.0, 1.0, 1.0))[0], brain) > 0.99


@pytest.mark.parametrize("value", [0.0, 7.0])
def test_constant_volume_has_no_brain(value):
    volume = np.full((2, 64, 64), value, np.float32)
    assert not brain_mask(volume, SPACING).any()
    assert not head_slice_mask(volume, SPACING).any()


@pytest.mark.parametrize(
    ("volume", "spacing", "message"),
    [
        (np.zeros((8, 8)), SPACING, r"found shape \(8, 8\)"),
        (np.full((1, 8, 8), np.nan), SPACING, "NaN"),
        (np.zeros((1, 8, 8)), (1.0, 0.0, 1.0), "all positive"),
    ],
)
def test_bad_input_is_refused(volume, spacing, message):
    with pytest.raises(InputError, match=message):
        brain_mask(volume, spacing)


real = pytest.mark.skipif("UAD_REAL_DATA" not in os.environ, reason="UAD_REAL_DATA is not set")


def slice_number(path):
    return [int(part) for part in re.findall(r"\d+", path.stem)]


@real
@pytest.mark.parametrize("patient", ["TCGA_CS_6666_20011109", "TCGA_FG_A4MU_20030903", "TCGA_HT_8105_19980826"])
def test_real_tumours_stay_inside(patient):
    folder = Path(os.environ["UAD_REAL_DATA"]) / "lgg" / "kaggle_3m" / patient
    files = sorted((f for f in folder.glob("*.tif") if not f.stem.endswith("_mask")), key=slice_number)
    flair = np.stack([io.imread(f)[::-1, ::-1, 1] for f in files]).astype(np.float32)
    lesion = np.stack([io.imread(f.with_name(f.stem + "_mask.tif"))[::-1, ::-1] > 0 for f in files])
    mask = brain_mask(flair, (1.0, 1.0, 1.0))
    assert not is_stripped(flair)
    assert (mask & lesion).sum() / lesion.sum() > 0.98
    area, head = mask.sum((1, 2)), (flair > 15).sum((1, 2))
    assert 0.5 < area.max() / head[area.argmax()] < 0.9
    assert (area > 0.5 * area.max()).mean() > 0.4
    assert area[0] < 0.35 * area.max()
    assert np.abs(np.diff(area)).max() < 0.4 * area.max()


@real
def test_real_stripped_slices_are_kept_whole():
    files = sorted((Path(os.environ["UAD_REAL_DATA"]) / "soop" / "images").glob("*.png"))[::70]
    for file in files:
        image = io.imread(file)[None].astype(np.float32)
        whole = ndimage.binary_fill_holes(image[0] > 0)
        assert dice(brain_mask(image, (1.0, 1.0, 1.0))[0], whole) > 0.98, file.name
