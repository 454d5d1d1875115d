"""Shapes of codes and images, dense and spatial, slices and volumes."""

import pytest
import torch
from torch import nn

from uad_models.networks.encoder_decoder import EncoderDecoder


def network(**changes: object) -> EncoderDecoder:
    settings = {"in_channels": 2, "size": (32, 48), "channels": (8, 16), "latent": "dense", "latent_dim": 5}
    return EncoderDecoder(**{**settings, **changes})


@pytest.mark.parametrize(
    ("size", "latent", "code_shape"),
    [
        ((32, 48), "dense", (3, 5)),
        ((32, 48), "spatial", (3, 5, 8, 12)),
        ((8, 16, 12), "dense", (3, 5)),
        ((8, 16, 12), "spatial", (3, 5, 2, 4, 3)),
    ],
)
def test_shapes_of_codes_and_images(size, latent, code_shape):
    net = network(size=size, latent=latent, heads=2, out_channels=6)
    codes = net.encode(torch.rand(3, 2, *size))
    assert [code.shape for code in codes] == [code_shape, code_shape]
    assert net.decode(codes[0]).shape == (3, 6, *size)


def test_the_image_is_as_wide_as_it_came_unless_said_otherwise():
    net = network()
    assert net.decode(net.encode(torch.rand(1, 2, 32, 48))[0]).shape == (1, 2, 32, 48)


@pytest.mark.parametrize("size", [(32, 48), (8, 16, 12)])
def test_a_spatial_code_is_local_and_a_dense_one_is_not(size):
    corner = torch.zeros(1, 2, *size)
    corner[(0, 0, *(0 for _ in size))] = 5.0
    moved = {}
    for latent in ("spatial", "dense"):
        net = network(size=size, latent=latent).eval()
        (before,), (after,) = net.encode(torch.zeros_like(corner)), net.encode(corner)
        moved[latent] = (after - before).detach().abs()
    far = moved["spatial"][(0, slice(None), *(-1 for _ in size))]
    near = moved["spatial"][(0, slice(None), *(0 for _ in size))]
    assert far.max() < near.max() / 10
    assert (moved["dense"] > 0).all()


def test_the_output_is_not_bounded():
    net = network()
    optimiser = torch.optim.Adam(net.parameters(), 1e-2)
    x = torch.rand(4, 2, 32, 48) * 2 + 2
    for _ in range(80):
        optimiser.zero_grad()
        loss = (net.decode(net.encode(x)[0]) - x).abs().mean()
        loss.backward()
        optimiser.step()
    assert net.decode(net.encode(x)[0]).mean().item() == pytest.approx(3.0, abs=0.3)


def test_the_layers_are_those_of_the_paper_with_four_widths():
    convolutions = (nn.Conv3d, nn.Linear, nn.ConvTranspose3d)
    net = network(size=(16, 16, 16), channels=(8, 8, 8, 8), heads=2)
    count = {
        part: sum(isinstance(layer, convolutions) for layer in getattr(net, part).modules())
        for part in ("encoder", "heads", "first", "decoder")
    }
    assert count == {"encoder": 4, "heads": 2, "first": 1, "decoder": 4}
