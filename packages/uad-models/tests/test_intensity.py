"""Brightness, raw and equalised."""

import numpy as np
import pytest
import torch

from uad_models.registry import create
from uad_models.scores.equalised import equalise


def test_the_raw_map_is_the_mean_brightness():
    x = torch.rand(2, 3, 8, 8)
    torch.testing.assert_close(create("intensity", in_channels=3).anomaly_map(x), x.mean(dim=1, keepdim=True))


@pytest.mark.parametrize("shape", [(3, 2, 9, 7), (2, 1, 4, 5, 6)])
def test_equalised_brightness_is_the_rank_inside_the_brain_and_ties_share_it(shape):
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(1, 20, shape, generator=generator).float() / 10
    brain = torch.rand((shape[0], 1, *shape[2:]), generator=generator) < 0.7
    x = x * brain
    result = equalise(x)
    for image, inside, equalised in zip(x, brain[:, 0], result, strict=True):
        for channel in range(shape[1]):
            values = image[channel][inside].numpy()
            expected = (values[None] <= values[:, None]).mean(axis=1)
            np.testing.assert_allclose(equalised[channel][inside].numpy(), expected, rtol=1e-6)
            assert (equalised[channel][~inside] == 0).all()


def test_equalising_does_not_depend_on_contrast():
    x = torch.rand(1, 1, 16, 16) + 0.1
    torch.testing.assert_close(equalise(x), equalise(x.square() * 3))


def test_the_equalised_map_is_the_method_with_its_setting():
    x = torch.rand(2, 1, 8, 8)
    torch.testing.assert_close(create("intensity", equalise=True).anomaly_map(x), equalise(x))


def test_there_is_nothing_to_train():
    method = create("intensity")
    assert not method.trained
    assert list(method.parameters()) == []
    assert method.reconstruct(torch.ones(1, 1, 4, 4)).abs().max() == 0
