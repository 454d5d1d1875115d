import pytest

torch = pytest.importorskip("torch", reason="corruptions need torch, which is not installed")

from uad_data.corruptions import SEQUENCES, SequencePrior, field_blobs  # noqa: E402
from uad_data.corruptions.corrupted import Blended  # noqa: E402


def seeded(seed: int = 0) -> "torch.Generator":
    return torch.Generator().manual_seed(seed)


def flat(size: tuple[int, ...], b: int = 40, c: int = 1, value: float = 0.5) -> tuple["torch.Tensor", "torch.Tensor"]:
    """A ball of one intensity, 0 around it."""
    grids = torch.meshgrid([torch.linspace(-1, 1, side) for side in size], indexing="ij")
    brain = (sum(grid.square() for grid in grids) < 0.8).expand(b, 1, *size).clone()
    image = torch.full((b, c, *size), value) * brain
    # One voxel of fluid, because no lesion is darker than the darkest voxel.
    image[(..., *[side // 2 for side in size])] = 0.01
    return image, brain


PLAIN = {"texture": (0.0, 0.0), "cored": 0.0, "smallest": 200, "largest": 0.15, "counts": (1,)}


@pytest.mark.parametrize(("size", "b"), [((96, 96), 80), ((32, 40, 40), 12)])
def test_lesions_have_their_sequences_contrast_to_the_tissue_around(size: tuple[int, ...], b: int) -> None:
    image, brain = flat(size, b)
    result = field_blobs(image, brain, **PLAIN, generator=seeded())
    level = torch.tensor([float((x / 0.5)[s > 0.98].median()) for x, s in zip(result.image, result.soft, strict=True)])
    prior = SEQUENCES["flair"]
    bright = level > 1
    assert 0.75 < float(bright.float().mean()) <= 1
    assert float(level.min()) >= prior.dark[0] - 0.01
    assert float(level.max()) <= prior.bright[1] + 0.01
    assert float(level[bright].min()) >= prior.bright[0] - 0.01
    assert torch.equal(result.mask, result.soft >= 0.5)


def test_contrast_is_local() -> None:
    image, brain = flat((96, 96), 60)
    image[..., 48:] *= 0.8
    prior = SequencePrior(1.0, (1.5, 1.5), (0.5, 0.5))
    result = field_blobs(
        image, brain, **PLAIN | {"largest": 0.05}, sequences=(prior,), keep=(0.0, 0.0), generator=seeded()
    )
    inside = result.soft > 0.98
    for part, level in ((slice(16, 36), 0.5), (slice(60, 80), 0.4)):
        found = result.image[..., part][inside[..., part]]
        assert float(found.median()) == pytest.approx(1.5 * level, rel=0.03)


def levels(result: Blended) -> list[tuple[float, float]]:
    """Of each lesion, the extremes of its intensity as multiples of the tissue around, but for the edge."""
    insides = [(x / 0.5)[s > 0.98] for x, s in zip(result.image, result.soft, strict=True)]
    return [(float(inside.min()), float(inside.max())) for inside in insides]


def test_a_share_of_lesions_has_a_core_of_fluid_or_of_another_contrast() -> None:
    image, brain = flat((96, 96), 200)
    prior = SequencePrior(1.0, (1.5, 1.5), (0.5, 0.5), fluid=(0.3, 0.3))
    options = PLAIN | {"smallest": 600, "largest": 0.2, "roughness": (0.0, 0.0), "keep": (0.0, 0.0)}
    options["sequences"] = (prior,)
    none = field_blobs(image, brain, **options, generator=seeded())
    assert all(low > 1.45 for low, _ in levels(none))
    fluid = [low < 0.6 for low, _ in levels(field_blobs(image, brain, **options | {"cored": 0.8}, generator=seeded()))]
    # Of the cores 60 % are fluid, and some lesions are too small or too pale at their centre to tell.
    assert 0.3 < sum(fluid) / len(fluid) < 0.55
    other = SequencePrior(0.5, (1.5, 1.5), (0.7, 0.7), fluid=(1.0, 1.0))
    mixed = levels(field_blobs(image, brain, **options | {"cored": 1.0, "sequences": (other,)}, generator=seeded()))
    two = [low < 0.8 and high > 1.4 for low, high in mixed]
    # The other 40 % draw a contrast of their own, which has the other sign in half of them.
    assert 0.1 < sum(two) / len(two) < 0.3


def test_texture_and_own_noise_stay_inside() -> None:
    image, brain = flat((96, 96), 20)
    options = PLAIN | {"smallest": 600, "sequences": (SequencePrior(1.0, (1.5, 1.5), (0.5, 0.5)),)}

    def spread(x: "torch.Tensor", **more: object) -> float:
        result = field_blobs(x, brain, **(options | more), generator=seeded())
        return float(result.image[result.soft > 0.98].std())

    noisy = image + 0.05 * torch.randn(image.shape, generator=seeded(1)) * brain
    assert spread(image, keep=(0.0, 0.0)) < 0.02
    assert spread(image, texture=(0.1, 0.1), keep=(0.0, 0.0)) == pytest.approx(0.075, rel=0.3)
    assert spread(noisy, keep=(1.0, 1.0)) == pytest.approx(0.05, rel=0.3)
    assert spread(noisy, keep=(0.0, 0.0)) < 0.025


def test_no_lesion_lies_wholly_in_fluid_and_some_spare_it() -> None:
    image, brain = flat((96, 96), 200)
    fluid = torch.zeros_like(brain)
    fluid[..., 36:60, 36:60] = True
    image[fluid] = 0.1
    result = field_blobs(image, brain, generator=seeded())
    assert (result.mask & ~fluid).flatten(1).any(1).all()
    touching = (result.mask & fluid).flatten(1).any(1)
    reaching = ((result.soft > 0) & fluid).flatten(1).any(1)
    assert touching.any()
    assert (reaching & ~touching).any()


def test_place_is_shared_and_contrast_is_each_channels_own() -> None:
    image, brain = flat((64, 64), c=2)
    sequences = (SEQUENCES["flair"], SEQUENCES["t1"])
    result = field_blobs(image, brain, **PLAIN, sequences=sequences, keep=(1.0, 1.0), generator=seeded())
    added = result.image - image
    level = [float(added[:, k][result.soft[:, 0] > 0.98].median()) for k in range(2)]
    assert level[0] > 0.05
    assert level[1] < -0.02
    changed = added.abs() > 1e-4
    assert float((changed[:, 0] != changed[:, 1]).float().mean()) < 0.02


def test_no_voxel_gets_darker_than_the_darkest_of_the_brain() -> None:
    image, brain = flat((64, 64))
    image[..., 32, 32] = 0.45
    dark = (SequencePrior(0.0, (1.2, 2.0), (0.3, 0.5)),)
    result = field_blobs(image, brain, sequences=dark, generator=seeded())
    assert float(result.image[brain].min()) == pytest.approx(0.45)
