"""Masks of dropout: their rate, their scale, whose they are and where they come from."""

import torch

from uad_models.networks.feature_dropout import FeatureDropout


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def test_whole_maps_are_dropped_and_the_others_scaled_up():
    dropped = FeatureDropout(0.25, generator())(torch.ones(50, 40, 2, 3))
    per_map = dropped.flatten(2)
    assert (per_map == per_map[..., :1]).all()
    torch.testing.assert_close(per_map.unique(), torch.tensor([0.0, 1 / 0.75]))
    assert 0.22 < (per_map[..., 0] == 0).float().mean() < 0.28


def test_masks_are_each_images_own_unless_shared():
    own, shared = (FeatureDropout(0.5, generator(), shared=each)(torch.ones(4, 64, 1, 1)) for each in (False, True))
    assert not (own == own[:1]).all()
    assert (shared == shared[:1]).all()


def test_a_shared_mask_does_not_depend_on_the_batch():
    one, four = (FeatureDropout(0.5, generator(), shared=True)(torch.ones(n, 64, 1, 1)) for n in (1, 4))
    assert torch.equal(one[0], four[2])


def test_masks_come_from_the_generator():
    torch.manual_seed(0)
    one = FeatureDropout(0.5, generator())(torch.ones(4, 64, 1, 1))
    torch.manual_seed(1)
    assert torch.equal(one, FeatureDropout(0.5, generator())(torch.ones(4, 64, 1, 1)))
