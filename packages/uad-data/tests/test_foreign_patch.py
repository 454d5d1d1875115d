import pytest

torch = pytest.importorskip("torch", reason="corruptions need torch, which is not installed")

import numpy as np  # noqa: E402
from scipy import sparse  # noqa: E402
from scipy.sparse.linalg import spsolve  # noqa: E402

from uad_data.corruptions import foreign_patch  # noqa: E402


def seeded(seed: int = 0) -> "torch.Generator":
    return torch.Generator().manual_seed(seed)


def pair(size: tuple[int, ...], b: int = 2) -> tuple["torch.Tensor", "torch.Tensor"]:
    image = torch.rand((b, 1, *size), generator=seeded(3))
    return image, torch.ones(b, 1, *size, dtype=torch.bool)


def reference(own: np.ndarray, foreign: np.ndarray, inside: np.ndarray, alpha: float) -> np.ndarray:
    """Blend by one sparse equation for each voxel, the authors' way, without their cut to the image's range."""
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
                weak, strong = (1 - alpha) * (own[here] - own[there]), alpha * (foreign[here] - foreign[there])
                right[row] += weak if abs(weak) > abs(strong) else strong
                matrix[row, row] += 1
                if unknown[there] >= 0:
                    matrix[row, unknown[there]] -= 1
                else:
                    right[row] += own[there]
    blended = own.copy()
    blended[inside] = spsolve(matrix.tocsr(), right)
    return blended


@pytest.mark.parametrize("size", [(24, 20), (10, 12, 12)])
def test_solves_the_equation_of_the_paper(size: tuple[int, ...]) -> None:
    image, brain = pair(size)
    result = foreign_patch(image, brain, half_width=(0.2, 0.3), tolerance=0.0, generator=seeded())
    for i in range(2):
        own, foreign = image[i, 0].double().numpy(), image[1 - i, 0].double().numpy()
        places = result.mask[i, 0].nonzero()
        inside = np.zeros(size, bool)
        inside[tuple(slice(int(a), int(b) + 1) for a, b in zip(places.amin(0), places.amax(0), strict=True))] = True
        alpha = float(result.soft[i].max())
        expected = reference(own, foreign, inside, alpha).clip(own.min(), own.max())
        np.testing.assert_allclose(result.image[i, 0].numpy(), expected, atol=1e-5)


def test_patches_have_the_stated_size_and_share() -> None:
    image, brain = pair((100, 100), b=200)
    result = foreign_patch(image, brain, tolerance=0.0, generator=seeded())
    widths = [int(mask[0].any(1).sum()) for mask in result.mask]
    assert max(widths) <= 40
    assert min(widths) >= 5
    assert max(widths) - min(widths) > 20
    alphas = result.soft.flatten(1).amax(1)
    assert float(alphas.min()) >= 0.05
    assert float(alphas.max()) <= 0.95
    assert float(alphas.std()) == pytest.approx(0.9 / 12**0.5, rel=0.1)
    assert torch.equal(result.soft > 0, result.mask)
    assert all(len(one[one > 0].unique()) == 1 for one in result.soft)


def test_no_edge_shows_where_the_foreign_image_is_brighter_by_a_constant() -> None:
    smooth = torch.linspace(0, 1, 64).expand(2, 1, 64, 64).clone()
    smooth[1] += 5
    brain = torch.ones(2, 1, 64, 64, dtype=torch.bool)
    result = foreign_patch(smooth, brain, alpha=(0.999, 0.999), generator=seeded())
    torch.testing.assert_close(result.image, smooth, atol=0.05, rtol=0)


def test_small_changes_are_not_labelled() -> None:
    image, brain = pair((64, 64))
    result = foreign_patch(image, brain, tolerance=0.1, generator=seeded())
    change = (result.image - image).abs()
    assert torch.equal(result.mask, change > 0.1)
    assert (change[~result.mask] > 0).any()
