import pytest

torch = pytest.importorskip("torch", reason="corruptions need torch, which is not installed")

from uad_data.corruptions import draem_texture  # noqa: E402


def seeded(seed: int = 0) -> "torch.Generator":
    return torch.Generator().manual_seed(seed)


def flat(size: tuple[int, ...], b: int = 40, c: int = 1, value: float = 0.5) -> tuple["torch.Tensor", "torch.Tensor"]:
    """A ball of one intensity, 0 around it."""
    grids = torch.meshgrid([torch.linspace(-1, 1, side) for side in size], indexing="ij")
    brain = (sum(grid.square() for grid in grids) < 0.8).expand(b, 1, *size).clone()
    return torch.full((b, c, *size), value) * brain, brain


def test_patches_of_texture_with_the_stated_opacity() -> None:
    image, brain = flat((96, 96))
    result = draem_texture(image, brain, opacity=(0.5, 0.5), generator=seeded())
    whole = result.soft.flatten(1).amax(1)
    torch.testing.assert_close(whole, torch.full_like(whole, 0.5))
    assert torch.equal(result.image[result.soft == 0], image[result.soft == 0])
    changed = (result.soft > 0.25).flatten(1).sum(1) / brain.flatten(1).sum(1)
    assert float(changed.min()) > 0
    assert 0.02 < float(changed.median()) < 0.35
    assert not (result.mask & (result.soft == 0)).any()
    assert result.mask.any()


def test_textures_are_made_up_or_foreign() -> None:
    image, brain = flat((96, 96))
    foreign = torch.full_like(image, 0.77)
    result = draem_texture(image, brain, foreign=foreign, opacity=(1.0, 1.0), generator=seeded())
    own = [bool(((x - 0.77).abs() < 0.01)[s > 0.99].all()) for x, s in zip(result.image, result.soft, strict=True)]
    assert 0.25 < sum(own) / len(own) < 0.75
    made = [x[s > 0.99] for x, s, foreign_ in zip(result.image, result.soft, own, strict=True) if not foreign_]
    assert max(float(x.std()) for x in made) > 0.1
    assert float(result.image[brain].min()) > 0
