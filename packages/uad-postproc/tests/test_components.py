import numpy as np
import pytest

from uad_postproc import Context, InputError
from uad_postproc.steps import SmallObjectRemoval


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
