import pytest

torch = pytest.importorskip("torch", reason="corruptions need torch, which is not installed")

from uad_data.corruptions import context_mask  # noqa: E402


def seeded(seed: int = 0) -> "torch.Generator":
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("size", "b"), [((64, 64), 200), ((32, 32, 32), 40)])
def test_masks_one_square_of_the_stated_size_around_a_brain_voxel(size: tuple[int, ...], b: int) -> None:
    brain = torch.zeros(b, 1, *size, dtype=torch.bool)
    brain[(..., *[slice(side // 4, 3 * side // 4) for side in size])] = True
    image = torch.rand((b, 2, *size), generator=seeded(1)) + 1
    result = context_mask(image, brain, count=(1, 1), sides=(1 / 8, 1 / 4), generator=seeded())
    inside = result.mask.expand_as(image)
    assert (result.image[inside] == 0).all()
    assert torch.equal(result.image[~inside], image[~inside])
    extents = []
    for mask in result.mask[:, 0]:
        places = mask.nonzero()
        assert len(places) > 0
        extent = places.amax(0) - places.amin(0) + 1
        assert len(places) == int(extent.prod())
        extents.append(int(extent.max()))
    assert max(extents) == size[0] // 4
    assert min(extents) >= size[0] // 16


def test_fill_and_number_of_patches() -> None:
    image, brain = torch.ones(100, 1, 64, 64), torch.ones(100, 1, 64, 64, dtype=torch.bool)
    shares = []
    for count in ((1, 1), (1, 3), (3, 3)):
        result = context_mask(image, brain, count=count, fill=-0.5, generator=seeded())
        assert (result.image[result.mask] == -0.5).all()
        shares.append(float(result.mask.float().mean()))
    assert shares[0] * 1.3 < shares[1] < shares[2] / 1.1
