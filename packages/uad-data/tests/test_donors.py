import pytest

torch = pytest.importorskip("torch", reason="corruptions need torch, which is not installed")

from uad_data.corruptions.lesions.donors import mirrored_others  # noqa: E402


def seeded(seed: int = 0) -> "torch.Generator":
    return torch.Generator().manual_seed(seed)


def test_every_image_gets_another_one_mirrored() -> None:
    image = torch.rand((5, 1, 4, 6), generator=seeded())
    steps = set()
    for seed in range(30):
        found = mirrored_others(image, seeded(seed))
        source = [next(j for j in range(5) if torch.equal(found[i], image[j].flip(-1))) for i in range(5)]
        assert all(i != j for i, j in enumerate(source))
        steps.add(source[0])
    assert steps == {1, 2, 3, 4}


def test_an_image_alone_gets_itself_mirrored() -> None:
    image = torch.rand((1, 1, 4, 6), generator=seeded())
    assert torch.equal(mirrored_others(image, seeded()), image.flip(-1))
