"""LPIPS: against the equation written out, what a VGG is read from, and what is refused."""

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional

from uad_data.errors import InputError
from uad_models.networks.vgg_features import COLOUR_MEAN, COLOUR_SD, vgg_features
from uad_models.registry import create
from uad_models.scores import residual_map
from uad_models.scores.perceptual import lpips, lpips_map

# Two blocks, of two convolutions and of one; as in torchvision, ReLUs and poolings have numbers too.
SHAPES = {0: (4, 3), 2: (4, 4), 5: (6, 4)}


def weights(*, channels: int = 3, linear: bool = True) -> dict[str, torch.Tensor]:
    """A small VGG as torchvision would save it, with a classifier and weights of channels."""
    generator = torch.Generator().manual_seed(0)
    state = {"classifier.0.weight": torch.ones(3, 3)}
    for number, (out, given) in SHAPES.items():
        shape = (out, channels if number == 0 else given, 3, 3)
        state[f"features.{number}.weight"] = torch.randn(shape, generator=generator) / 3
        state[f"features.{number}.bias"] = torch.randn(out, generator=generator) / 3
    if linear:
        state["lin0.model.1.weight"] = torch.rand((1, 4, 1, 1), generator=generator)
        state["lin1.model.1.weight"] = torch.rand((1, 6, 1, 1), generator=generator)
    return state


@pytest.fixture
def network(tmp_path) -> str:
    torch.save(weights(), tmp_path / "vgg.pth")
    return str(tmp_path / "vgg.pth")


def images(*size: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.rand((2, 2, *size), generator=generator) + 0.1
    x[..., :3] = 0
    return x, x + 0.2 * torch.randn(x.shape, generator=generator)


def levels_by_hand(x: torch.Tensor, other: torch.Tensor) -> list[torch.Tensor]:
    """Equation 1 for one image of one channel (h, w), place by place."""
    state = weights()

    def features(image: torch.Tensor) -> list[torch.Tensor]:
        colour = torch.stack([(image - mean) / sd for mean, sd in zip(COLOUR_MEAN, COLOUR_SD, strict=True)])[None]
        for number in (0, 2):
            part = state[f"features.{number}.weight"], state[f"features.{number}.bias"]
            colour = functional.conv2d(colour, *part, padding=1).clamp(min=0)
        pooled = colour[0].unfold(1, 2, 2).unfold(2, 2, 2).amax(dim=(-1, -2))[None]
        last = functional.conv2d(pooled, state["features.5.weight"], state["features.5.bias"], padding=1).clamp(min=0)
        return [colour[0], last[0]]

    found = []
    for number, (one, two) in enumerate(zip(features(x), features(other), strict=True)):
        linear = state[f"lin{number}.model.1.weight"].flatten()
        distance = torch.zeros(one.shape[1:])
        for row in range(one.shape[1]):
            for column in range(one.shape[2]):
                a, b = one[:, row, column], two[:, row, column]
                a, b = a / max(float(a.norm()), 1e-10), b / max(float(b.norm()), 1e-10)
                distance[row, column] = (linear * (a - b) ** 2).sum()
        found.append(distance)
    return found


def test_the_map_and_the_loss_are_equation_1(network):
    x, other = (each[:1, :1] for each in images(8, 10))
    levels = levels_by_hand(x[0, 0], other[0, 0])
    expected = sum(functional.interpolate(level[None, None], (8, 10), mode="bilinear") for level in levels)
    torch.testing.assert_close(lpips_map(x, other, network), expected)
    torch.testing.assert_close(lpips(x, other, network), sum(level.mean() for level in levels))


@pytest.mark.parametrize("size", [(8, 10), (40, 8, 10)], ids=["2d", "3d"])
def test_every_sequence_and_slice_is_compared_by_itself(network, size):
    x, other = images(*size)
    whole = residual_map(x, other, "lpips", network=network)
    assert whole.shape == (2, 1, *size)
    assert whole[..., :3].abs().max() == 0
    assert whole.max() > 0
    assert residual_map(x, x, "lpips", network=network).abs().max() < 1e-6
    other = other * (x != 0)
    channels = torch.stack([lpips_map(x[:, [i]], other[:, [i]], network) for i in range(2)]).mean(dim=0)
    torch.testing.assert_close(whole, channels * (x[:, :1] != 0))
    if len(size) == 3:
        torch.testing.assert_close(
            lpips_map(x, other, network)[:, :, 35], lpips_map(x[:, :, 35], other[:, :, 35], network)
        )


def test_a_file_may_be_safetensors_of_one_channel_and_without_weights_of_channels(tmp_path):
    save_file(weights(channels=1, linear=False), tmp_path / "vgg.safetensors")
    network = vgg_features(str(tmp_path / "vgg.safetensors"), torch.device("cpu"))
    assert [len(block) // 2 for block in network.blocks] == [2, 1]
    assert all(weight.eq(1).all() for weight in network.weights)
    x = torch.rand(1, 1, 8, 8)
    state = weights(channels=1)
    first = functional.conv2d(x, state["features.0.weight"], state["features.0.bias"], padding=1).clamp(min=0)
    second = functional.conv2d(first, state["features.2.weight"], state["features.2.bias"], padding=1).clamp(min=0)
    torch.testing.assert_close(network(x)[0], second)


def test_a_method_scores_and_trains_with_the_network_of_the_user(network):
    torch.manual_seed(0)
    settings = {"size": (16, 16), "channels": (8, 8), "code_dim": 4, "predict_scale": False}
    plain = create("vqvae", **settings)
    method = create("vqvae", **settings, residual="lpips", perceptual_network=network, perceptual_weight=3.0)
    method.load_state_dict(plain.state_dict())  # the network of the user is no part of the method's weights
    image = torch.rand(2, 1, 16, 16) + 0.1
    batch = {"image": image, "brain": image > 0}
    plain.eval()
    method.eval()
    made = plain.reconstruct(image)
    expected = plain.loss(batch)["loss"] + 3 * lpips(image, made, network)
    torch.testing.assert_close(method.loss(batch)["loss"], expected)
    torch.testing.assert_close(method.anomaly_map(image), residual_map(image, made, "lpips", network=network))
    method.train()
    method.loss(batch, generator=torch.Generator().manual_seed(0))["loss"].backward()
    assert all(parameter.grad is not None for parameter in method.network.parameters())
    assert all(parameter.grad is None for parameter in vgg_features(network, image.device).parameters())


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("ae", {"predict_scale": False, "channels": (8, 8)}),
        ("restoration", {"predict_scale": False, "channels": (8, 8)}),
        ("denoising_unet", {"channels": (8, 8)}),
        ("disyre", {"channels": (8, 8), "restorations": 1}),
    ],
)
def test_methods_with_a_residual_take_lpips(name, settings, network):
    torch.manual_seed(0)
    method = create(name, size=(16, 16), **settings, residual="lpips", perceptual_network=network).eval()
    x = torch.rand(1, 1, 16, 16) + 0.1
    with torch.no_grad():
        torch.testing.assert_close(
            method.anomaly_map(x),
            residual_map(x, method.reconstruct(x), "lpips", network=network),
            atol=1e-5,
            rtol=1e-4,
        )
    with pytest.raises(InputError, match="perceptual_network"):
        create(name, size=(16, 16), **settings, residual="lpips")


def test_a_weight_without_a_network_is_refused():
    with pytest.raises(InputError, match="perceptual_network"):
        create("vqvae", size=(16, 16), perceptual_weight=1.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features.0.weight": None}, "features.0.weight"),
        ({"features.2.bias": None}, "features.2"),
        ({"features.5.weight": torch.ones(6, 4, 5, 5)}, "3 × 3"),
        ({"features.5.weight": torch.ones(6, 5, 3, 3)}, "does not follow"),
        ({"features.9.weight": torch.ones(6, 6, 3, 3), "features.9.bias": torch.ones(6)}, "does not follow"),
        ({"lin1.model.1.weight": torch.ones(1, 5, 1, 1)}, "lin1 has 5"),
        ({"features.0.weight": torch.ones(4, 2, 3, 3)}, "1 or 3 channels"),
    ],
)
def test_what_is_no_vgg_is_refused_with_the_file_named(tmp_path, change, message):
    state = {name: each for name, each in {**weights(), **change}.items() if each is not None}
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(InputError, match=message) as error:
        vgg_features(str(tmp_path / "other.pth"), torch.device("cpu"))
    assert "other.pth" in str(error.value)


def test_a_missing_or_foreign_file_and_too_small_an_image_are_named(tmp_path, network):
    with pytest.raises(InputError, match=r"no file .*missing"):
        vgg_features(str(tmp_path / "missing.pth"), torch.device("cpu"))
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(InputError, match=r"text\.pth"):
        vgg_features(str(tmp_path / "text.pth"), torch.device("cpu"))
    torch.save([torch.ones(1)], tmp_path / "list.pth")
    with pytest.raises(InputError, match="holds a list"):
        vgg_features(str(tmp_path / "list.pth"), torch.device("cpu"))
    with pytest.raises(InputError, match="at least 2 pixels"):
        lpips_map(torch.ones(1, 1, 1, 8), torch.ones(1, 1, 1, 8), network)
