import dataclasses
import json

import numpy as np
import pytest
from scipy import ndimage

from uad_data.errors import InputError
from uad_data.prepare import ArraySpec, prepare_scan
from uad_data.scan import Scan

SHAPE = (10, 60, 50)


def make_scan(*, spacing: tuple[float, float, float] = (4.0, 1.0, 1.0), annotated: bool = True) -> Scan:
    generator = np.random.default_rng(0)
    d, h, w = np.meshgrid(*[np.arange(n) - (n - 1) / 2 for n in SHAPE], indexing="ij")
    brain = (d / 4.5) ** 2 + (h / 26) ** 2 + (w / 20) ** 2 <= 1
    image = ndimage.gaussian_filter(generator.gamma(5, 20, (2, *SHAPE)), (0, 0, 3, 3)).astype(np.float32)
    image[1] = 1000 - 3 * image[0]
    image[:, ~brain] = 5000
    lesion = np.zeros(SHAPE, np.uint8)
    lesion[4:6, 30:44, 20:30] = 3
    lesion[7, 30, 25] = 1
    return Scan(
        image=image,
        brain=brain,
        lesion=lesion if annotated else None,
        affine=np.diag([spacing[2], spacing[1], spacing[0], 1.0]),
        modalities=("t1", "flair"),
        subject="p07",
        pathology="tumour",
    )


def test_slices_have_the_spec_s_shape_channels_and_type() -> None:
    scan = make_scan()
    prepared = prepare_scan(scan, ArraySpec(size=(48, 40), modalities=("flair", "t1"), slices="centre:4"))
    assert prepared.image.shape == (4, 2, 48, 40)
    assert prepared.image.dtype == np.float16
    assert prepared.brain.shape == prepared.lesion.shape == (4, 48, 40)
    np.testing.assert_array_equal(prepared.slice_index, [3, 4, 5, 6])
    flair, t1 = prepared.image[:, :, 24, 20].T.astype(np.float32)
    assert np.corrcoef(flair, t1)[0, 1] < -0.9
    reverse = prepare_scan(scan, ArraySpec(size=(48, 40), modalities=("t1",), slices="centre:4", dtype="float32"))
    np.testing.assert_allclose(reverse.image[:, 0], prepared.image[:, 1], atol=2e-3)
    assert reverse.image.dtype == np.float32


def test_volumes_are_one_item_isotropic_in_mm() -> None:
    prepared = prepare_scan(make_scan(), ArraySpec(size=(40, 48, 40), modalities=("t1",), slices="pixels:999999"))
    assert prepared.image.shape == (1, 1, 40, 48, 40)
    assert prepared.lesion.shape == (1, 40, 48, 40)
    np.testing.assert_array_equal(prepared.slice_index, [-1])
    step = np.array(prepared.frame.step) * [4, 1, 1]
    np.testing.assert_allclose(step, prepared.pixel_mm)
    assert prepared.brain_voxels[0] == make_scan().brain.sum()


def test_outside_the_brain_is_zero_and_does_not_touch_its_edge() -> None:
    scan = make_scan()
    flat = np.where(scan.brain, np.float32(100), np.float32(5000))[None]
    scan = dataclasses.replace(scan, image=flat, modalities=("t1",))
    for size in [(32, 32), (96, 96), (24, 24, 24)]:
        prepared = prepare_scan(scan, ArraySpec(size=size, modalities=("t1",), dtype="float32"))
        np.testing.assert_allclose(prepared.image[:, 0][prepared.brain], 1, rtol=1e-4)
        assert not prepared.image[:, 0][~prepared.brain].any()


def test_voxels_are_counted_on_the_scan_s_own_grid() -> None:
    scan = make_scan()
    prepared = prepare_scan(scan, ArraySpec(size=(16, 16), modalities=("t1",), slices="pixels:1"))
    native = np.count_nonzero(scan.lesion, axis=(1, 2))[prepared.slice_index]
    np.testing.assert_array_equal(prepared.lesion_voxels, native)
    assert prepared.lesion_voxels[prepared.slice_index == 7] == 1
    np.testing.assert_array_equal(prepared.brain_voxels, scan.brain.sum(axis=(1, 2))[prepared.slice_index])


def test_no_annotation_is_told_apart_from_no_lesion() -> None:
    prepared = prepare_scan(make_scan(annotated=False), ArraySpec(modalities=("t1",)))
    assert prepared.lesion is None
    assert (prepared.lesion_voxels == -1).all()


@pytest.mark.parametrize("size", [(48, 44), (36, 48, 44)])
def test_results_go_back_to_the_scan_s_own_grid(size: tuple[int, ...]) -> None:
    scan = make_scan()
    prepared = prepare_scan(scan, ArraySpec(size=size, modalities=("t1",), slices="centre:4", dtype="float32"))
    back = prepared.to_native(prepared.image[:, 0])
    assert back.shape == SHAPE
    assert back.dtype == np.float32
    selected = np.arange(10) if len(size) == 3 else prepared.slice_index
    inner = ndimage.binary_erosion(scan.brain, iterations=2)
    inner[np.setdiff1d(np.arange(10), selected)] = False
    assert np.corrcoef(back[inner], scan.image[0][inner])[0, 1] > 0.95
    assert not back[np.setdiff1d(np.arange(10), selected)].any()
    mask = prepared.to_native(prepared.lesion)
    assert mask.dtype == np.uint8
    there, truth = mask == 3, scan.lesion == 3
    assert 2 * (there & truth).sum() / (there.sum() + truth.sum()) > 0.85
    assert prepared.to_native(prepared.brain).dtype == bool
    with pytest.raises(InputError, match=r"expected shape .* found"):
        prepared.to_native(prepared.image)


def test_errors_name_the_scan() -> None:
    scan = make_scan()
    with pytest.raises(InputError, match=r"'p07'.*'pixels:99999'.*10 slices has \d+ brain pixels"):
        prepare_scan(scan, ArraySpec(modalities=("t1",), slices="pixels:99999"))
    with pytest.raises(InputError, match=r"'p07'.*'t2' is missing: found t1, flair"):
        prepare_scan(scan, ArraySpec(modalities=("t2",)))
    visit = dataclasses.replace(scan, brain=np.zeros(SHAPE, bool), session="b")
    with pytest.raises(InputError, match=r"'p07', session 'b'.*brain mask is empty"):
        prepare_scan(visit, ArraySpec(modalities=("t1",)))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"size": (128,)}, r"2 or 3 whole numbers"),
        ({"size": (4, 4, 4, 4)}, r"2 or 3 whole numbers"),
        ({"size": (128, 0)}, r"above 0.*\(128, 0\)"),
        ({"size": (128, 64.0)}, r"whole numbers"),
        ({"modalities": ()}, "at least one name"),
        ({"modalities": ("t1", "t1")}, "each once"),
        ({"dtype": "int8"}, "float16, float32"),
        ({"margin": 0.5}, "margin < 0.5"),
        ({"slices": "fractoin:0.25"}, "did you mean"),
        ({"scaling": "percentil:99"}, "did you mean"),
        ({"scalling": "minmax"}, "did you mean 'scaling'"),
    ],
)
def test_bad_settings_are_refused(values: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ArraySpec.from_dict(values)


def test_spec_survives_json() -> None:
    spec = ArraySpec(size=(32, 40, 48), modalities=("t1", "flair"), slices="centre:9", dtype="float32", margin=0.0)
    assert ArraySpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
    assert ArraySpec.from_dict({}) == ArraySpec()
