"""Shapes of codes and images, dense and spatial, slices and volumes."""

import pytest
import torch
from torch import nn

from uad_data.errors import InputError
from uad_models.networks.encoder_decoder import EncoderDecoder, Layer, layers_of
from uad_models.networks.feature_dropout import FeatureDropout


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


@pytest.mark.parametrize("size", [(15, 22), (9, 12, 15)])
@pytest.mark.parametrize(
    "stack",
    [
        {"kernels": (6, 5), "strides": (1, 3), "dilations": (1, 2)},
        {"kernels": (3,), "strides": (1,), "pools": (1, 2)},
        {"kernels": (3, 5), "strides": (2, 1), "dilations": (2, 1), "pools": (2, 1)},
        {"latent": "spatial", "strides": (1, 3), "code_kernel": 3, "code_stride": 2},
        {"latent": "features"},
    ],
)
def test_any_stack_gives_back_the_size_it_was_given(size, stack):
    net = network(size=size, **stack)
    (code,) = net.encode(torch.rand(2, 2, *size))
    assert net.decode(code).shape == (2, 2, *size)


@pytest.mark.parametrize("layer", [Layer(1, 6, 1), Layer(1, 5, 2, 2), Layer(1, 5, 3, 2), Layer(1, 3, 1, 1, 2)])
@pytest.mark.parametrize("side", [11, 12, 13, 240])
def test_a_layer_knows_the_size_that_torch_gives(layer, side):
    convolution = nn.Conv1d(1, 1, layer.kernel, layer.stride, layer.padding, layer.dilation)
    given = nn.MaxPool1d(layer.pool, ceil_mode=True)(convolution(torch.zeros(1, 1, side))).shape[-1]
    assert layer.shrink((side,)) == (given,)


def test_features_as_a_code_have_no_layers_of_their_own():
    net = network(latent="features")
    assert net.encode(torch.rand(3, 2, 32, 48))[0].shape == (3, 16, 8, 12)
    assert [name for name, _ in net.named_parameters() if name.startswith(("heads", "first"))] == []


def test_a_column_of_a_table_is_one_number_or_one_for_each_layer():
    layers = layers_of((4, 6), kernels=(3,), strides=(1, 2), dilations=(2, 1), pools=(1,))
    assert layers == (Layer(4, 3, 1, 2, 1), Layer(6, 3, 2, 1, 1))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"kernels": (3, 3)}, r"kernels: expected one number or 3, all positive, got \(3, 3\)"),
        ({"strides": (0,)}, "strides: expected"),
        ({"dilations": ()}, "dilations: expected"),
        ({"pools": (2,)}, "odd kernel before a pooling, got 4"),
    ],
)
def test_tables_that_make_no_network_are_refused(columns, message):
    with pytest.raises(InputError, match=message):
        layers_of((4, 6, 8), **columns)


def test_dropout_acts_between_layers_of_encoder_and_decoder():
    net = network(latent="dense").eval()
    shapes = []

    def count(features: torch.Tensor) -> torch.Tensor:
        shapes.append(tuple(features.shape[1:]))
        return features

    (code,) = net.encode(torch.rand(1, 2, 32, 48), drop=count)
    net.decode(code, drop=count)
    assert shapes == [(8, 16, 24), (16, 8, 12), (8, 16, 24)]


def test_dropping_everything_leaves_the_last_bias():
    net = network().eval()
    nearly_all = FeatureDropout(1 - 1e-7, torch.Generator().manual_seed(0))
    image = net.decode(net.encode(torch.rand(2, 2, 32, 48))[0], drop=nearly_all)
    torch.testing.assert_close(image, net.decoder[-1].bias.view(1, 2, 1, 1).expand_as(image))
