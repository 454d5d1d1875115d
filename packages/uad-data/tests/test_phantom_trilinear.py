import numpy as np
from scipy import ndimage

from uad_data.phantom.trilinear import sample


def test_the_bits_are_those_of_scipy_within_on_and_beyond_the_border():
    rng, shape = np.random.default_rng(0), (9, 12, 7)
    volumes = [rng.standard_normal(shape).astype(np.float32) for _ in range(3)]
    inside = np.stack([rng.uniform(-3, side + 3, (100, 200)) for side in shape]).astype(np.float32)
    on_voxels = np.stack([rng.integers(-1, side + 1, (100, 200)) for side in shape]).astype(np.float32)
    for points in (inside, on_voxels):
        for volume, found in zip(volumes, sample(volumes, points), strict=True):
            expected = ndimage.map_coordinates(volume, points, order=1, mode="nearest", output=np.float32)
            np.testing.assert_array_equal(found, expected)


def test_one_point_and_none():
    volume = np.arange(8, dtype=np.float32).reshape(2, 2, 2)
    np.testing.assert_array_equal(sample([volume], np.full((3, 1), 0.5))[0], [3.5])
    assert sample([volume], np.empty((3, 0)))[0].shape == (0,)
