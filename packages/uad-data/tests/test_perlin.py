import pytest

torch = pytest.importorskip("torch", reason="corruptions need torch, which is not installed")

from uad_data.corruptions.lesions.perlin import perlin_noise  # noqa: E402


def seeded(seed: int = 0) -> "torch.Generator":
    return torch.Generator().manual_seed(seed)


def reference(point: "torch.Tensor", gradient: "torch.Tensor") -> float:
    """Perlin noise at one point, corner by corner."""
    base, n = point.floor().long(), len(point)
    total = 0.0
    for corner in torch.cartesian_prod(*[torch.arange(2)] * n).view(-1, n):
        way = point - (base + corner)
        t = 1 - way.abs()
        total += float(
            (6 * t**5 - 15 * t**4 + 10 * t**3).prod() * (gradient[(slice(None), *(base + corner))] * way).sum()
        )
    return total


@pytest.mark.parametrize("size", [(20, 24), (8, 12, 10)])
def test_is_perlin_noise_at_each_images_own_scale(size: tuple[int, ...]) -> None:
    n, most = len(size), 6
    cells = torch.tensor([[3.0] * n, [5.5] * n])
    found = perlin_noise(size, cells, most=most, generator=seeded(), device=torch.device("cpu"))
    assert found.shape == (2, 1, *size)
    again = seeded()
    gradient = torch.randn((2, n, *[most + 2] * n), generator=again)
    gradient = gradient / gradient.norm(dim=1, keepdim=True)
    start = torch.rand((2, n), generator=again)
    for i in range(2):
        for place in torch.cartesian_prod(*[torch.arange(0, side, 3) for side in size]).view(-1, n):
            point = start[i] + place * cells[i] / torch.tensor(size)
            assert float(found[(i, 0, *place)]) == pytest.approx(reference(point, gradient[i]), abs=1e-5)
