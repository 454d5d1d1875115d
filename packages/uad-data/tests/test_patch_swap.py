import pytest

torch = pytest.importorskip("torch", reason="corruptions need torch, which is not installed")

from uad_data.corruptions import patch_swap  # noqa: E402


def seeded(seed: int = 0) -> "torch.Generator":
    return torch.Generator().manual_seed(seed)


def numbered(size: tuple[int, ...], b: int = 20, c: int = 1) -> "torch.Tensor":
    """Images in which every voxel has its own value, so that a voxel can be followed."""
    return torch.arange(float(b * c * torch.tensor(size).prod())).view(b, c, *size)


@pytest.mark.parametrize("size", [(64, 48), (16, 32, 24)])
def test_two_patches_of_an_eighth_change_places(size: tuple[int, ...]) -> None:
    image, brain = numbered(size, c=2), torch.ones(20, 1, *size, dtype=torch.bool)
    result = patch_swap(image, brain, generator=seeded())
    sides = torch.tensor(size) // 8
    grid = torch.stack(torch.meshgrid([torch.arange(side) for side in size], indexing="ij"), dim=-1)
    for before, after, mask in zip(image, result.image, result.mask[:, 0], strict=True):
        assert torch.equal(mask, (before != after).all(0))
        assert int(mask.sum()) == 2 * int(sides.prod())
        # Each voxel came from a place one shift away: one vector for one patch, its opposite for the other.
        source = after[0].flatten().sub(before.min()).long()
        moves = (grid.flatten(0, -2)[source].view_as(grid) - grid)[mask].unique(dim=0)
        assert len(moves) == 2
        assert torch.equal(moves[0], -moves[1])
        assert (moves[0].abs() >= sides).any()
        assert torch.equal(before[1].flatten()[source].view_as(after[1]), after[1])


@pytest.mark.parametrize("swaps", [1, 5])
def test_values_are_kept_and_stay_in_the_brain(swaps: int) -> None:
    grids = torch.meshgrid(torch.linspace(-1, 1, 64), torch.linspace(-1, 1, 64), indexing="ij")
    brain = (grids[0].square() + grids[1].square() < 0.6).expand(20, 1, 64, 64).clone()
    image = numbered((64, 64)) * brain
    result = patch_swap(image, brain, swaps=swaps, generator=seeded())
    assert torch.equal(result.image.flatten(1).sort(1).values, image.flatten(1).sort(1).values)
    assert not (result.image != image)[~brain].any()
    assert not ((result.image != image) & ~result.mask).any()
    assert result.mask.flatten(1).any(1).all()
    assert (result.mask.flatten(1).sum(1) > 2 * 64).any() == (swaps > 1)


def test_a_swap_done_twice_is_undone() -> None:
    image, brain = numbered((32, 32)), torch.ones(20, 1, 32, 32, dtype=torch.bool)
    once = patch_swap(image, brain, generator=seeded())
    assert torch.equal(patch_swap(once.image, brain, generator=seeded()).image, image)


def test_no_room_for_two_patches_leaves_the_image() -> None:
    image, brain = numbered((32, 32)), torch.zeros(20, 1, 32, 32, dtype=torch.bool)
    brain[..., 10:12, 10:12] = True
    result = patch_swap(image, brain, generator=seeded())
    assert torch.equal(result.image, image)
    assert not result.mask.any()
