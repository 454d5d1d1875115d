import pytest

torch = pytest.importorskip("torch", reason="corruptions need torch, which is not installed")

from uad_data.corruptions import random_shapes  # noqa: E402


def seeded(seed: int = 0) -> "torch.Generator":
    return torch.Generator().manual_seed(seed)


def blank(size: tuple[int, ...], b: int = 200, c: int = 1) -> tuple["torch.Tensor", "torch.Tensor"]:
    return torch.full((b, c, *size), -1.0), torch.ones(b, 1, *size, dtype=torch.bool)


@pytest.mark.parametrize(("size", "b"), [((128, 128), 200), ((64, 64, 64), 30)])
def test_one_shape_is_a_square_or_a_circle_of_the_stated_size(size: tuple[int, ...], b: int) -> None:
    image, brain = blank(size, b)
    result = random_shapes(image, brain, count=(1, 1), spread=0.02, generator=seeded())
    n, kinds, sides = len(size), set(), set()
    for painted, mask in zip(result.image[:, 0], result.mask[:, 0], strict=True):
        places = mask.nonzero()
        extent = places.amax(0) - places.amin(0) + 1
        side = int(extent[0])
        assert (extent == side).all()
        sides.add(side)
        values = painted[mask].unique()
        assert len(values) == 1
        assert 0 <= float(values) <= 1
        full = len(places) / side**n
        kinds.add("square" if full == 1 else "round")
        assert full == 1 or full == pytest.approx({2: 0.785, 3: 0.524}[n], rel=0.06)
        assert torch.equal(mask, painted != -1)
    assert kinds == {"square", "round"}
    assert min(sides) >= 15
    assert max(sides) <= 40
    assert max(sides) - min(sides) > 20


def test_one_or_many_shapes_each_with_its_intensity() -> None:
    image, brain = blank((128, 128))
    painted = random_shapes(image, brain, count=(1, 4), sides=(3, 5), generator=seeded()).image
    counts = [len(one.unique()) - 1 for one in painted]
    # A shape may be hidden by a later one or lie outside the image, so that few is a little likelier than many.
    assert set(counts) - {0} == {1, 2, 3, 4}
    assert counts.count(0) < 5
    assert min(counts.count(number) for number in range(1, 5)) > 30
    values = painted[painted >= 0]
    assert float(values.min()) < 0.05
    assert float(values.max()) > 0.95


def test_positions_are_normal_around_the_centre() -> None:
    image, brain = blank((64, 96), b=600)
    mask = random_shapes(image, brain, count=(1, 1), sides=(1, 1), spread=0.1, generator=seeded()).mask
    places = mask.nonzero()[:, 2:].float()
    assert len(places) == 600
    torch.testing.assert_close(places.mean(0), torch.tensor([31.5, 47.5]), atol=1.2, rtol=0)
    torch.testing.assert_close(places.std(0), torch.tensor([6.4, 9.6]), atol=0, rtol=0.1)
    within = ((places - places.mean(0)).abs() < places.std(0)).float().mean(0)
    torch.testing.assert_close(within, torch.tensor([0.683, 0.683]), atol=0.06, rtol=0)


def test_shapes_are_cut_at_the_brain_and_at_the_image() -> None:
    image, brain = blank((20, 20), b=50)
    brain[..., :10] = False
    result = random_shapes(image, brain, generator=seeded())
    assert torch.equal(result.mask, result.image != -1)
    assert not result.mask[..., :10].any()
    assert result.mask[..., 10:].any()


def test_channels_have_their_own_intensity_and_one_outline() -> None:
    image, brain = blank((64, 64), c=2)
    result = random_shapes(image, brain, count=(1, 1), generator=seeded())
    assert torch.equal((result.image != -1).all(1), (result.image != -1).any(1))
    assert not torch.equal(result.image[:, 0], result.image[:, 1])
