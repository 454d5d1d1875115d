"""Volumes from one grid to another."""

import numpy as np
from nibabel.nifti1 import Nifti1Image
from nibabel.processing import resample_from_to

from uad_data.preparation.resampling import centred_grid, grid_centre, regular_grid, resample, resample_labels


def oblique(shape, spacing):
    angle = np.deg2rad(12)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    return centred_grid(shape, directions=turn @ np.diag(spacing), centre=np.array([3.0, -4.0, 5.0]))


def test_it_agrees_with_nibabel_where_nothing_shrinks() -> None:
    shape, affine = oblique((11, 13, 12), (2.0, 2.0, 2.0))
    volume = np.random.default_rng(0).uniform(size=shape).astype(np.float32)
    target, to = centred_grid((21, 22, 23), directions=np.eye(3), centre=np.array([1.0, -2.0, 4.0]))
    peer = resample_from_to(Nifti1Image(volume.transpose(2, 1, 0), affine), (target[::-1], to), order=1)
    inside = resample(np.ones(shape), affine, shape=target, to=to) > 1 - 1e-6
    ours = resample(volume, affine, shape=target, to=to)
    assert inside.sum() > 3000
    np.testing.assert_allclose(ours[inside], peer.get_fdata().transpose(2, 1, 0)[inside], atol=1e-5)


def test_a_world_transform_moves_the_picture() -> None:
    shape, affine = centred_grid((9, 9, 9), directions=np.eye(3), centre=np.zeros(3))
    volume = np.zeros(shape, np.float32)
    volume[4, 4, 6] = 1
    world = np.eye(4)
    world[0, 3] = 2  # wanted x -> source x + 2
    moved = resample(volume, affine, shape=shape, to=affine, world=world)
    assert moved[4, 4, 4] == 1
    assert moved.sum() == 1


def test_shrinking_averages_instead_of_skipping() -> None:
    shape, affine = centred_grid((40, 40, 40), directions=np.eye(3), centre=np.zeros(3))
    checker = (np.indices(shape).sum(0) % 2).astype(np.float32)
    smaller, to = regular_grid(shape, affine, 4.0)
    coarse = resample(checker, affine, shape=smaller, to=to)
    assert smaller == (10, 10, 10)
    assert np.abs(coarse[2:-2, 2:-2, 2:-2] - 0.5).max() < 0.1


def test_labels_keep_their_volume_and_never_mix() -> None:
    shape, affine = centred_grid((20, 30, 30), directions=np.diag([1.0, 1.0, 3.0]), centre=np.zeros(3))
    labels = np.zeros(shape, np.uint8)
    labels[5:12, 8:20, 8:15] = 2
    labels[5:12, 8:20, 15:22] = 4
    finer, to = regular_grid(shape, affine, 1.0)
    fine = resample_labels(labels, affine, shape=finer, to=to)
    assert set(np.unique(fine)) == {0, 2, 4}
    for name in (2, 4):
        assert abs((fine == name).sum() - 3 * (labels == name).sum()) < 0.05 * 3 * (labels == name).sum()


def test_outside_is_filled_as_asked() -> None:
    shape, affine = centred_grid((4, 4, 4), directions=np.eye(3), centre=np.zeros(3))
    wide, to = centred_grid((8, 8, 8), directions=np.eye(3), centre=np.zeros(3))
    five = np.full(shape, 5, np.float32)
    assert resample(five, affine, shape=wide, to=to, outside=-1000.0)[0, 0, 0] == -1000
    assert (resample(five, affine, shape=wide, to=to, outside=float("nan")) == 5).all()


def test_a_regular_grid_covers_the_box_around_the_same_middle() -> None:
    shape, affine = oblique((10, 41, 33), (0.9, 0.9, 5.0))
    new, to = regular_grid(shape, affine, 1.0)
    assert new == (50, 37, 30)
    np.testing.assert_allclose(grid_centre(new, to), grid_centre(shape, affine))
    np.testing.assert_allclose(np.linalg.norm(to[:3, :3], axis=0), 1)
