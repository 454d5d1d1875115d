import pytest

torch = pytest.importorskip("torch", reason="corruptions need torch, which is not installed")

from torch.nn import functional  # noqa: E402

from uad_data.corruptions.poisson import solve_poisson  # noqa: E402


@pytest.mark.parametrize("extent", [[[5, 7], [8, 1], [1, 1], [8, 9]], [[2, 5, 3], [4, 5, 6], [1, 1, 6], [4, 4, 4]]])
def test_the_laplacian_of_the_solution_is_the_source(extent: list[list[int]]) -> None:
    boxes = torch.tensor(extent)
    n, size = boxes.shape[1], boxes.amax(0).tolist()
    source = torch.randn(4, 2, *size, generator=torch.Generator().manual_seed(0))
    found = solve_poisson(source, boxes)
    for i, box in enumerate(boxes.tolist()):
        inside = (slice(None), *[slice(0, side) for side in box])
        rest = found[i].clone()
        rest[inside] = 0
        assert not rest.any()
        padded = functional.pad(found[i][inside], [1, 1] * n)
        inner = [slice(None), *[slice(1, -1)] * n]
        laplacian = sum(
            padded.diff(n=2, dim=axis)[tuple(slice(None) if a == axis else s for a, s in enumerate(inner))]
            for axis in range(1, n + 1)
        )
        torch.testing.assert_close(laplacian, source[i][inside], rtol=1e-4, atol=1e-4)
