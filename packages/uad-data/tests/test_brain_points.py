import pytest

torch = pytest.importorskip("torch", reason="corruptions need torch, which is not installed")

from uad_data.corruptions.brain_points import brain_points  # noqa: E402


@pytest.mark.parametrize("size", [(6, 5), (3, 4, 5)])
def test_every_brain_voxel_is_equally_likely_and_no_other_occurs(size: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    brain = torch.rand((3, 1, *size), generator=generator) < 0.5
    points = brain_points(brain, 20000, generator=generator)
    assert points.shape == (3, 20000, len(size))
    for one, found in zip(brain[:, 0], points, strict=True):
        counts = torch.zeros(size).index_put_(tuple(found.T), torch.ones(20000), accumulate=True)
        assert not counts[~one].any()
        expected = 20000 / int(one.sum())
        assert ((counts[one] - expected).abs() < 5 * expected**0.5).all()


def test_an_empty_brain_gives_a_place_inside_the_image() -> None:
    points = brain_points(torch.zeros(2, 1, 4, 6, dtype=torch.bool), 3, generator=None)
    assert (points == torch.tensor([3, 5])).all()
