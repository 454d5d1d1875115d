import numpy as np
import pytest
from scipy import ndimage

from uad_data.errors import InputError
from uad_data.frame import Frame


def smooth_volume(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=shape)
    volume = ndimage.gaussian_filter(noise, 4, mode="nearest")
    return (volume / volume.std()).astype(np.float32)


def ellipsoid(shape: tuple[int, ...], radii: tuple[float, ...]) -> np.ndarray:
    grid = np.meshgrid(*[np.arange(n) - (n - 1) / 2 for n in shape], indexing="ij")
    return sum((axis / radius) ** 2 for axis, radius in zip(grid, radii, strict=True)) <= 1


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


@pytest.mark.parametrize(
    ("shape", "spacing", "size"),
    [
        ((9, 141, 117), (5.0, 1.0, 1.0), (128, 128)),
        ((9, 64, 51), (5.0, 2.0, 2.0), (128, 128)),
        ((7, 99, 73), (4.0, 0.9, 1.3), (96, 80)),
        ((61, 75, 57), (1.5, 1.0, 1.0), (64, 72, 64)),
        ((40, 41, 39), (1.0, 1.0, 1.0), (31, 47, 53)),
    ],
)
def test_round_trip_gives_smooth_volumes_back(
    shape: tuple[int, ...], spacing: tuple[float, ...], size: tuple[int, ...]
) -> None:
    volume = smooth_volume(shape)
    brain = ellipsoid(shape, tuple(0.45 * n for n in shape))
    frame = Frame.fit(brain, spacing=spacing, size=size)
    there = frame.forward(volume)
    assert there.shape == (*shape[: 3 - len(size)], *size)
    back = frame.inverse(there)
    assert back.shape == shape
    assert np.abs(back - volume)[brain].mean() < 0.06
    assert np.corrcoef(back[brain], volume[brain])[0, 1] > 0.98


@pytest.mark.parametrize("size", [(128, 128), (72, 72, 72)])
def test_positions_are_kept_to_a_fraction_of_a_voxel(size: tuple[int, ...]) -> None:
    shape = (80, 91, 77)
    brain = ellipsoid(shape, (38, 42, 35))
    frame = Frame.fit(brain, spacing=(1, 1, 1), size=size)
    ramps = np.stack(np.meshgrid(*[np.arange(n, dtype=np.float32) for n in shape], indexing="ij"))
    back = frame.inverse(frame.forward(ramps))
    inner = ndimage.binary_erosion(brain, iterations=4)
    np.testing.assert_allclose(back[:, inner], ramps[:, inner], atol=0.02)


def test_lesion_mask_comes_back_where_it_was() -> None:
    shape = (5, 181, 157)
    brain = ellipsoid(shape, (4, 85, 74))
    lesion = np.zeros(shape, np.uint8)
    lesion[2, 60:80, 40:66] = 1
    lesion[3, 100:112, 90:104] = 2
    frame = Frame.fit(brain, spacing=(5, 1, 1), size=(128, 128))
    there = frame.forward(lesion, order=0)
    assert there.dtype == np.uint8
    assert set(np.unique(there)) == {0, 1, 2}
    back = frame.inverse(there, order=0)
    assert back.dtype == np.uint8
    assert dice(back == 1, lesion == 1) > 0.93
    assert dice(back == 2, lesion == 2) > 0.85
    assert frame.inverse(there > 0, order=0).dtype == bool


def test_2d_frame_leaves_the_slice_axis_alone() -> None:
    volume = smooth_volume((6, 50, 40))
    brain = ellipsoid(volume.shape, (5, 20, 15))
    frame = Frame.fit(brain, spacing=(6, 1, 1), size=(64, 64))
    whole = frame.forward(volume)
    assert whole.shape == (6, 64, 64)
    np.testing.assert_array_equal(frame.forward(volume[3]), whole[3])
    np.testing.assert_array_equal(frame.forward(np.stack([volume, volume]))[1], whole)


@pytest.mark.parametrize("spacing", [(3.0, 1.0, 1.0), (3.0, 0.7, 1.4), (3.0, 1.2, 0.5)])
def test_frame_is_isotropic_in_mm_whatever_the_spacing(spacing: tuple[float, ...]) -> None:
    radius_mm = 60.0
    shape = tuple(int(150 / mm) for mm in spacing)
    ball = ellipsoid(shape, tuple(radius_mm / mm for mm in spacing))
    frame = Frame.fit(ball, spacing=spacing, size=(100, 100), margin=0.1)
    assert frame.step[0] * spacing[1] == pytest.approx(frame.step[1] * spacing[2])
    disc = frame.forward(ball, order=0)[shape[0] // 2]
    height, width = (np.count_nonzero(disc.any(axis=axis)) for axis in (1, 0))
    assert abs(height - 80) <= 2
    assert abs(width - 80) <= 2


def test_3d_frame_is_isotropic_and_fills_the_tightest_axis() -> None:
    ball = ellipsoid((30, 120, 120), (12, 48, 48))
    frame = Frame.fit(ball, spacing=(4, 1, 1), size=(64, 64, 64), margin=0)
    framed = frame.forward(ball, order=0)
    extents = [np.count_nonzero(framed.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
    assert max(extents) == 64
    assert min(extents) >= 60


@pytest.mark.parametrize("size", [(40, 40), (128, 128)])
def test_brain_that_touches_the_border_is_kept_whole(size: tuple[int, int]) -> None:
    brain = np.ones((2, 64, 48), bool)
    frame = Frame.fit(brain, spacing=(1, 1, 1), size=size, margin=0)
    framed = frame.forward(brain, order=0)
    assert framed.any(axis=2).all()
    assert np.count_nonzero(framed[0].any(axis=0)) == pytest.approx(size[1] * 48 / 64, abs=1)
    ones = frame.forward(brain.astype(np.float32))
    np.testing.assert_allclose(ones[framed], 1, rtol=1e-6)
    assert not ones[~framed].any()
    assert frame.inverse(framed, order=0).all()
    np.testing.assert_allclose(frame.inverse(ones)[:, 1:-1, 1:-1], 1, atol=1e-6)


def test_shrinking_does_not_alias() -> None:
    checkerboard = (np.indices((1, 256, 256)).sum(axis=0) % 2).astype(np.float32)
    frame = Frame.fit(np.ones(checkerboard.shape, bool), spacing=(1, 1, 1), size=(51, 51), margin=0)
    assert np.abs(frame.forward(checkerboard) - 0.5).max() < 0.05


def test_same_grid_is_copied_bit_for_bit() -> None:
    volume = smooth_volume((3, 32, 32))
    frame = Frame.fit(np.ones(volume.shape, bool), spacing=(1, 1, 1), size=(32, 32), margin=0)
    np.testing.assert_array_equal(frame.forward(volume), volume)


def test_outside_the_frame_and_the_scan_is_zero() -> None:
    brain = np.zeros((1, 100, 100), bool)
    brain[0, 60:90, 5:35] = True
    frame = Frame.fit(brain, spacing=(1, 1, 1), size=(32, 32), margin=0.2)
    framed = frame.forward(np.ones(brain.shape, np.float32))
    assert (framed[0, 16, :3] == 0).all()
    back = frame.inverse(np.ones((1, 32, 32), np.float32))
    assert back[brain].all()
    assert not back[0, :40].any()
    assert not back[0, :, 60:].any()


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match="empty"):
        Frame.fit(np.zeros((2, 3, 4), bool), spacing=(1, 1, 1), size=(8, 8))
    frame = Frame.fit(np.ones((2, 3, 4), bool), spacing=(1, 1, 1), size=(8, 8))
    with pytest.raises(InputError, match=r"\(3, 4\)\).*\(2, 4, 3\)"):
        frame.forward(np.zeros((2, 4, 3)))
    with pytest.raises(InputError, match=r"\(8, 8\)\).*\(9, 8\)"):
        frame.inverse(np.zeros((9, 8)))
