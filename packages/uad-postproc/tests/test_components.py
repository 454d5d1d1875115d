import numpy as np
import pytest
from scipy import ndimage

from uad_postproc import Context, InputError
from uad_postproc.steps import LargestComponents, SmallObjectRemoval
from uad_postproc.steps.components import label


def sizes(mask):
    return mask.reshape(len(mask), -1).sum(axis=1).tolist()


def test_below_the_size_goes_at_the_size_stays():
    mask = np.zeros((1, 9, 9), bool)
    mask[0, 0, :3] = True  # 3 voxels
    mask[0, 4:6, 4:6] = True  # 4 voxels
    out = SmallObjectRemoval(min_voxels=4).apply(mask, Context(np.ones(mask.shape, bool)))
    expected = np.zeros((9, 9), bool)
    expected[4:6, 4:6] = True
    np.testing.assert_array_equal(out[0], expected)


def test_diagonal_voxels_connect_fully_but_not_by_faces():
    mask = np.eye(5, dtype=bool)[None]
    context = Context(np.ones(mask.shape, bool))
    assert SmallObjectRemoval(min_voxels=5).apply(mask, context).sum() == 5
    assert SmallObjectRemoval(min_voxels=2, connectivity="face").apply(mask, context).sum() == 0


def test_components_do_not_pass_between_slices():
    mask = np.zeros((5, 4, 4), bool)
    mask[:, 1, 1] = True
    assert SmallObjectRemoval(min_voxels=2).apply(mask, Context(np.ones(mask.shape, bool))).sum() == 0
    volume = mask[None]
    assert SmallObjectRemoval(min_voxels=5).apply(volume, Context(np.ones(volume.shape, bool))).sum() == 5


def test_ml_of_anisotropic_voxels():
    mask = np.zeros((2, 3, 12, 12), bool)
    mask[0, 1, 1, 1:11] = True  # 10 voxels
    mask[1, 1, 1, 1:10] = True  # 9 voxels
    context = Context(np.ones(mask.shape, bool), (5.0, 0.5, 0.4))  # 0.001 ml a voxel
    assert sizes(SmallObjectRemoval(min_ml=0.01).apply(mask, context)) == [10, 0]


def test_ml_forgives_the_single_precision_of_headers():
    mask = np.zeros((1, 4, 4, 4), bool)
    mask[0, 1:3, 1:3, 1:3] = True
    spacing = (float(np.float32(0.9)),) * 3  # 0.89999998
    out = SmallObjectRemoval(min_ml=8 * 0.9**3 / 1000).apply(mask, Context(np.ones(mask.shape, bool), spacing))
    assert out.sum() == 8


def test_ml_of_slices_needs_their_thickness():
    mask = np.zeros((2, 12, 12), bool)
    mask[0, 1, 1:11] = True
    mask[1, 1, 1:10] = True
    brain = np.ones(mask.shape, bool)
    step = SmallObjectRemoval(min_ml=0.01)
    assert sizes(step.apply(mask, Context(brain, (0.5, 0.4), slice_thickness=5))) == [10, 0]
    with pytest.raises(InputError, match="slice_thickness"):
        step.apply(mask, Context(brain, (0.5, 0.4)))


@pytest.mark.parametrize(
    "settings",
    [{}, {"min_voxels": 3, "min_ml": 1.0}, {"min_voxels": 0}, {"min_ml": float("nan")}, {"min_voxels": -2}],
)
def test_one_positive_size_is_needed(settings):
    with pytest.raises(InputError, match="one of min_voxels and min_ml"):
        SmallObjectRemoval(**settings)


def test_unknown_connectivity():
    with pytest.raises(InputError, match=r"connectivity.*'edge'"):
        SmallObjectRemoval(min_voxels=1, connectivity="edge")


@pytest.mark.parametrize("shape", [(3, 40, 41), (2, 16, 17, 18)])
@pytest.mark.parametrize("connectivity", ["full", "face"])
def test_labels_and_sizes_equal_scipy(shape, connectivity, rng):
    mask = rng.random(shape) < 0.3
    ndim = len(shape) - 1
    structure = ndimage.generate_binary_structure(ndim, ndim if connectivity == "full" else 1)
    context = Context(np.ones(shape, bool))
    for i, item in enumerate(mask):
        expected, count = ndimage.label(item, structure)
        labels = label(item, connectivity)
        assert len({*zip(labels.ravel().tolist(), expected.ravel().tolist(), strict=True)}) == count + 1
        sizes = ndimage.sum_labels(item, expected, np.arange(count + 1))
        kept = SmallObjectRemoval(min_voxels=5, connectivity=connectivity).apply(mask, context)[i]
        np.testing.assert_array_equal(kept, (sizes >= 5)[expected])
        largest = LargestComponents(k=3, connectivity=connectivity).apply(mask, context)[i]
        order = np.argsort(-sizes[1:], kind="stable")[:3] + 1
        assert largest.sum() == sizes[order].sum()
        assert np.unique(expected[largest]).size == 3


def test_any_memory_order(rng):
    volume = (rng.random((12, 14, 16)) < 0.4).transpose(2, 0, 1)[None, ::-1]
    context = Context(np.ones(volume.shape, bool))
    for step in (SmallObjectRemoval(min_voxels=4, connectivity="face"), LargestComponents()):
        np.testing.assert_array_equal(step.apply(volume, context), step.apply(volume.copy(), context))


def test_largest_components_of_each_item_and_the_first_of_equals():
    mask = np.zeros((2, 6, 12), bool)
    mask[0, 0, :2] = mask[0, 2, :4] = mask[0, 5, 4:6] = True
    mask[1, 3, 3] = True
    context = Context(np.ones(mask.shape, bool))
    one, two, many = (LargestComponents(k=k).apply(mask, context) for k in (1, 2, 9))
    assert sizes(one) == [4, 1]
    assert one[0, 2, :4].all()
    assert two[0, 0, :2].all()
    assert not two[0, 5].any()
    np.testing.assert_array_equal(many, mask)


@pytest.mark.parametrize("settings", [{"k": 0}, {"k": 1.5}, {"k": True}, {"connectivity": "edge"}])
def test_largest_components_checks_its_settings(settings):
    with pytest.raises(InputError, match=r"LargestComponents: (k|connectivity): expected"):
        LargestComponents(**settings)


def test_labels_equal_scipy_in_many_shapes(rng):
    for ndim, top in ((2, 40), (3, 9)) * 40:
        item = rng.random(rng.integers(1, top, ndim)) < rng.choice([0.1, 0.3, 0.6])
        for connectivity, reach in (("full", ndim), ("face", 1)):
            expected, count = ndimage.label(item, ndimage.generate_binary_structure(ndim, reach))
            labels = label(item, connectivity)
            assert labels.shape == item.shape
            pairs = {*zip(labels.ravel().tolist(), expected.ravel().tolist(), strict=True)} | {(0, 0)}
            assert len(pairs) == count + 1 == labels.max() + 1
