import numpy as np
import pytest

from uad_data.errors import InputError
from uad_data.scaling import check_scaling_rule, scale


@pytest.fixture
def scan() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    brain = np.zeros((6, 20, 20), bool)
    brain[1:5, 4:16, 4:16] = True
    image = generator.gamma(4, 30, (2, 6, 20, 20)).astype(np.float32)
    image[1] *= 50
    image[:, ~brain] = 1e6
    return image, brain


def test_percentile_brings_that_percentile_of_brain_to_one_per_channel(scan: tuple[np.ndarray, np.ndarray]) -> None:
    image, brain = scan
    scaled = scale(image, brain, "percentile:99")
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(np.percentile(scaled[:, brain], 99, axis=1), 1, rtol=1e-5)
    assert scaled[:, brain].max() > 1
    np.testing.assert_allclose(scaled[0, brain] / scaled[0, brain].max(), image[0, brain] / image[0, brain].max(), 1e-5)


def test_percentile_is_not_moved_by_one_bright_voxel(scan: tuple[np.ndarray, np.ndarray]) -> None:
    image, brain = scan
    spiked = image.copy()
    spiked[0, 2, 8, 8] = 1e5
    before, after = scale(image, brain, "percentile:95"), scale(spiked, brain, "percentile:95")
    assert np.median(np.abs(after - before)[0, brain]) < 0.01
    before, after = scale(image, brain, "minmax"), scale(spiked, brain, "minmax")
    assert np.median(np.abs(after - before)[0, brain]) > 0.1


def test_minmax_spans_zero_to_one_over_the_brain_of_the_volume(scan: tuple[np.ndarray, np.ndarray]) -> None:
    image, brain = scan
    scaled = scale(image - 500, brain, "minmax")
    np.testing.assert_allclose(scaled[:, brain].min(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(scaled[:, brain].max(axis=1), 1, atol=1e-6)
    assert scaled[0, 1][brain[1]].max() < 1 or scaled[0, 2][brain[2]].max() < 1


def test_minmax_slice_spans_zero_to_one_in_every_slice(scan: tuple[np.ndarray, np.ndarray]) -> None:
    image, brain = scan
    image[0, 3] = 7
    scaled = scale(image, brain, "minmax-slice")
    for channel, index in [(0, 1), (0, 2), (0, 4), (1, 3)]:
        values = scaled[channel, index][brain[index]]
        np.testing.assert_allclose([values.min(), values.max()], [0, 1], atol=1e-6)
    assert not scaled[0, 3].any()


@pytest.mark.parametrize("rule", ["percentile:99", "minmax", "minmax-slice"])
def test_outside_the_brain_is_zero_and_ignored(scan: tuple[np.ndarray, np.ndarray], rule: str) -> None:
    image, brain = scan
    scaled = scale(image, brain, rule)
    assert not scaled[:, ~brain].any()
    image[:, ~brain] = -3
    np.testing.assert_array_equal(scale(image, brain, rule), scaled)


def test_images_that_cannot_be_scaled_are_refused(scan: tuple[np.ndarray, np.ndarray]) -> None:
    image, brain = scan
    image[1, brain] = 0
    with pytest.raises(InputError, match=r"channel 1 .* above 0, found 0"):
        scale(image, brain, "percentile:99")
    with pytest.raises(InputError, match=r"channel 1 .* all are 0"):
        scale(image, brain, "minmax")
    with pytest.raises(InputError, match="brain mask is empty"):
        scale(image, np.zeros_like(brain), "percentile:99")


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("precentile:99", "did you mean 'percentile:P'"),
        ("min-max", "did you mean 'minmax'"),
        ("zzz", "Known rules: percentile:P, minmax, minmax-slice"),
        ("percentile:0", "above 0 and at most 100"),
        ("percentile:101", "above 0 and at most 100"),
        ("percentile", "percentile:P"),
        ("minmax:3", "unknown"),
    ],
)
def test_bad_rules_say_what_is_expected(rule: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_scaling_rule(rule)


def test_a_window_clips_and_keeps_brain_apart_from_outside() -> None:
    image = np.array([[[[-50.0, 0.0, 40.0, 80.0, 300.0]]]], np.float32)
    brain = np.array([[[True, True, True, True, True]]])
    np.testing.assert_allclose(scale(image, brain, "window:0:80").ravel(), [1e-3, 1e-3, 0.5, 1, 1])
    brain[..., 2] = False
    assert scale(image, brain, "window:0:80")[0, 0, 0, 2] == 0


def test_none_only_masks() -> None:
    image = np.array([[[[3.0, -4.0]]]], np.float32)
    np.testing.assert_array_equal(scale(image, np.array([[[True, False]]]), "none").ravel(), [3, 0])


@pytest.mark.parametrize("rule", ["window", "window:80:0", "window:1", "none:1", "window:a:b"])
def test_windows_that_are_none_are_refused(rule) -> None:
    with pytest.raises(InputError, match="scaling rule"):
        check_scaling_rule(rule)
