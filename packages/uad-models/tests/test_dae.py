"""What the denoising autoencoder is shown, what it is asked for, and the paper's Table 1."""

import pytest
import torch

from uad_data.corruptions import context_mask, random_shapes
from uad_data.errors import InputError
from uad_models.methods.dae import DAE, DAEConfig, corrupt
from uad_models.registry import create

SMALL = {"size": (48, 48), "channels": (8, 8), "latent_dim": 4, "predict_scale": False}


def autoencoder(**changes: object) -> DAE:
    torch.manual_seed(0)
    return DAE(DAEConfig(**{**SMALL, **changes}))


def batch() -> dict[str, torch.Tensor]:
    brain = torch.zeros(3, 1, 48, 48, dtype=torch.bool)
    brain[..., 8:40, 6:44] = True
    image = 2 + torch.rand((3, 1, 48, 48), generator=torch.Generator().manual_seed(0))
    return {"image": image * brain, "brain": brain}


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(7)


def test_shapes_are_those_of_the_paper_as_shares_of_the_side():
    data = batch()
    image, brain = (torch.nn.functional.interpolate(each.float(), 240) for each in data.values())
    found = corrupt(image, brain > 0, "random_shapes", generator=seeded())
    assert torch.equal(found, random_shapes(image, brain > 0, sides=(15, 40), generator=seeded()).image)
    small = corrupt(*data.values(), "random_shapes", generator=seeded())
    assert torch.equal(small, random_shapes(*data.values(), sides=(3, 8), generator=seeded()).image)


def test_masked_patches_are_those_of_the_context_encoder():
    data = batch()
    found = corrupt(*data.values(), "context_mask", generator=seeded())
    assert torch.equal(found, context_mask(*data.values(), generator=seeded()).image)


@pytest.mark.parametrize("corruption", ["random_shapes", "context_mask"])
def test_the_loss_is_the_mean_squared_error_between_the_healthy_image_and_that_of_the_corrupted_one(corruption):
    method, data = autoencoder(corruption=corruption).eval(), batch()
    corrupted = corrupt(*data.values(), corruption, generator=seeded())
    assert not torch.equal(corrupted, data["image"])
    rebuilt = method.decode(method.network.encode(corrupted)[0])[0]
    total, voxels = 0.0, 0
    for wanted, given, inside in zip(data["image"], rebuilt, data["brain"], strict=True):
        total += ((wanted - given)[inside] ** 2).sum().item()
        voxels += inside.sum().item()
    losses = method.loss(data, generator=seeded())
    assert losses["loss"].item() == pytest.approx(total / voxels, rel=1e-5)
    assert losses["error"].item() == pytest.approx(total / voxels, rel=1e-5)


def test_the_network_of_the_paper_is_table_1():
    pairs = [(1, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 512)]
    weights = 9 * sum(a * b for a, b in pairs)
    norms = 2 * sum(b for _, b in pairs) + 2 * sum(a for a, _ in pairs[1:])
    assert 2 * weights + norms + 1 == 4650625
    config = {**DAE.presets["paper"].config, "size": (48, 48)}
    method = create("dae", **config).eval()
    assert sum(each.numel() for each in method.parameters()) == 4650625
    with torch.no_grad():
        (code,) = method.network.encode(batch()["image"])
        assert code.shape == (3, 512, 3, 3)
        assert method.reconstruct(batch()["image"]).shape == (3, 1, 48, 48)


def test_poolings_count_as_halvings_of_the_size():
    with pytest.raises(InputError, match=r"multiple of 16; the nearest valid: \(32, 48\) or \(48, 48\)"):
        DAEConfig.from_dict({**DAE.presets["paper"].config, "size": (40, 48)})
