import pytest

torch = pytest.importorskip("torch", reason="corruptions need torch, which is not installed")

import numpy as np  # noqa: E402
from scipy import sparse  # noqa: E402
from scipy.sparse.linalg import spsolve  # noqa: E402

from uad_data.corruptions import nsa  # noqa: E402


def seeded(seed: int = 0) -> "torch.Generator":
    return torch.Generator().manual_seed(seed)


def flat(size: tuple[int, ...], b: int = 40, c: int = 1, value: float = 0.5) -> tuple["torch.Tensor", "torch.Tensor"]:
    """A ball of one intensity, 0 around it."""
    grids = torch.meshgrid([torch.linspace(-1, 1, side) for side in size], indexing="ij")
    brain = (sum(grid.square() for grid in grids) < 0.8).expand(b, 1, *size).clone()
    return torch.full((b, c, *size), value) * brain, brain


def seamless(own: np.ndarray, foreign: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Clone with one sparse equation for each voxel."""
    unknown = np.full(own.shape, -1)
    unknown[inside] = np.arange(inside.sum())
    matrix, right = sparse.lil_matrix((inside.sum(),) * 2), np.zeros(inside.sum())
    for place in np.argwhere(inside):
        row = unknown[tuple(place)]
        for axis in range(own.ndim):
            for step in (-1, 1):
                near = place.copy()
                near[axis] += step
                here, there = tuple(place), tuple(near)
                right[row] += foreign[here] - foreign[there]
                matrix[row, row] += 1
                if unknown[there] >= 0:
                    matrix[row, unknown[there]] -= 1
                else:
                    right[row] += own[there]
    cloned = own.copy()
    cloned[inside] = spsolve(matrix.tocsr(), right)
    return cloned


@pytest.mark.parametrize("size", [(32, 28), (14, 16, 16)])
def test_clones_seamlessly(size: tuple[int, ...]) -> None:
    image = torch.rand((1, 1, *size), generator=seeded()) + 0.5
    image[..., 0, 0], brain = 5.0, torch.ones(1, 1, *size, dtype=torch.bool)
    # The same everywhere but for a slope, so that it does not matter where the patch comes from.
    slope = torch.linspace(0.5, 1.5, size[-1]).expand(1, 1, *size)
    result = nsa(image, brain, foreign=slope, count=(1, 1), resize=0.0, generator=seeded(3))
    changed = (result.image != image)[0, 0]
    places = changed.nonzero()
    inside = np.zeros(size, bool)
    inside[tuple(slice(int(a), int(b) + 1) for a, b in zip(places.amin(0), places.amax(0), strict=True))] = True
    expected = seamless(image[0, 0].double().numpy(), slope[0, 0].double().numpy(), inside)
    np.testing.assert_allclose(result.image[0, 0].numpy(), expected, atol=1e-3)
    assert torch.equal(result.mask, result.soft >= 0.5)


def test_number_and_size_of_patches() -> None:
    image = torch.rand((100, 1, 96, 96), generator=seeded()) + 0.5
    brain = torch.ones(100, 1, 96, 96, dtype=torch.bool)
    one = (nsa(image, brain, count=(1, 1), generator=seeded()).image != image).flatten(1).sum(1)
    many = (nsa(image, brain, count=(3, 3), generator=seeded()).image != image).flatten(1).sum(1)
    assert int(one.max()) <= 40 * 40
    assert int(one.min()) < 250
    assert float(many.float().mean()) > 1.7 * float(one.float().mean())


def test_patches_are_resized() -> None:
    fine = (torch.arange(96) % 4 < 2).float().expand(2, 1, 96, 96) + 0.5
    image, brain = torch.ones(2, 1, 96, 96), torch.ones(2, 1, 96, 96, dtype=torch.bool)
    image[..., 0, 0], options = 9.0, {"foreign": fine, "count": (1, 1), "half_width": (0.2, 0.2)}
    found = [nsa(image, brain, **options, resize=resize, generator=seeded()).image for resize in (0.0, 0.5)]
    # Stripes of another width change how often neighbours differ.
    steps = [float((x.diff(dim=-1).abs() > 0.3).sum()) for x in found]
    assert abs(steps[0] - steps[1]) > 0.1 * steps[0]


def test_the_void_around_a_brain_is_not_cloned() -> None:
    image, brain = flat((64, 64))
    result = nsa(image, brain, generator=seeded())
    torch.testing.assert_close(result.image, image)
    assert not result.mask.any()
