import pytest

torch = pytest.importorskip("torch", reason="corruptions need torch, which is not installed")

from skimage.measure import label  # noqa: E402

from uad_data.corruptions.lesions.blobs import draw_blobs  # noqa: E402


def seeded(seed: int = 0) -> "torch.Generator":
    return torch.Generator().manual_seed(seed)


def flat(size: tuple[int, ...], b: int = 40, c: int = 1, value: float = 0.5) -> tuple["torch.Tensor", "torch.Tensor"]:
    """A ball of one intensity, 0 around it."""
    grids = torch.meshgrid([torch.linspace(-1, 1, side) for side in size], indexing="ij")
    brain = (sum(grid.square() for grid in grids) < 0.8).expand(b, 1, *size).clone()
    return torch.full((b, c, *size), value) * brain, brain


OPTIONS = {"counts": (1,), "smallest": 4, "largest": 0.25, "border": (1, 1), "roughness": (0.0, 0.0)}


def shares(size: tuple[int, ...], b: int = 40, **options: object) -> "torch.Tensor":
    _, brain = flat(size, b)
    inside = brain.float()
    return draw_blobs(inside, inside, **(OPTIONS | options), generator=seeded()).share


@pytest.mark.parametrize(("size", "b"), [((96, 96), 400), ((32, 40, 40), 100)])
def test_sizes_run_from_a_few_voxels_to_a_quarter_of_the_brain(size: tuple[int, ...], b: int) -> None:
    _, brain = flat(size, 1)
    whole = float(brain.sum())
    voxels = (shares(size, b, border=(0.5, 0.5)) >= 0.5).flatten(1).sum(1).float()
    assert 1 <= float(voxels.min()) < 8
    assert 0.14 < float(voxels.max()) / whole < 0.27
    # The logarithm is uniform, but for what the edge of the brain cuts off.
    middle = (4 * 0.25 * whole) ** 0.5
    assert 0.4 < float((voxels < middle).float().mean()) < 0.7


@pytest.mark.parametrize("width", [0.5, 2.0, 5.0])
def test_edges_have_the_stated_width(width: float) -> None:
    brain = torch.ones(60, 1, 96, 96)
    share = draw_blobs(
        brain, brain, **OPTIONS | {"border": (width, width), "smallest": 700, "largest": 0.08}, generator=seeded()
    ).share
    # A ring of the edge's width, as long as the blob's circumference.
    edge = ((share > 0.1) & (share < 0.9)).flatten(1).sum(1)
    around = (4 * torch.pi * (share >= 0.5).flatten(1).sum(1)).sqrt()
    assert float((edge / around).median()) == pytest.approx(width, rel=0.25)


def test_one_to_many_and_rough_ones_are_ragged() -> None:
    options = {"counts": (1, 0, 0, 0, 1), "smallest": 12, "largest": 0.02}
    found = [int(label(share[0].numpy() >= 0.5).max()) for share in shares((96, 96), 60, **options)]
    assert {1, 4, 5} <= set(found) <= {1, 2, 3, 4, 5}
    perimeters = []
    for roughness in ((0.0, 0.0), (0.5, 0.5)):
        mask = shares((96, 96), smallest=400, largest=0.2, roughness=roughness) >= 0.5
        edge = mask.diff(dim=-1).sum() + mask.diff(dim=-2).sum()
        perimeters.append(float(edge) / float(mask.sum()) ** 0.5)
    assert perimeters[0] * 1.1 < perimeters[1]


def test_blobs_are_centred_in_tissue_and_anywhere_where_there_is_none() -> None:
    _, brain = flat((64, 64), 60)
    tissue = brain.float()
    tissue[..., :32], tissue[0] = 0, 0
    blobs = draw_blobs(brain.float(), tissue, **OPTIONS, generator=seeded())
    assert (blobs.share >= 0.5).flatten(1).any(1).all()
    centres = blobs.depth.flatten(1).argmax(1) % 64
    assert (centres[1:] >= 32).all()


@pytest.mark.parametrize("size", [(96, 96), (32, 40, 40)])
def test_blobs_stop_between_left_and_right_where_they_are_asked_to(size: tuple[int, ...]) -> None:
    def held_by_one_side(sided: float) -> float:
        mask = shares(size, 60, smallest=300, sided=sided) >= 0.5
        halves = torch.stack([half.flatten(1).sum(1).float() for half in mask.split(size[-1] // 2, dim=-1)])
        return float((halves.amax(0) / halves.sum(0).clamp(min=1)).mean())

    # The plane is tilted, so that a few voxels lie on the other half of the image.
    assert held_by_one_side(1.0) > 0.97
    assert held_by_one_side(0.0) < 0.93
