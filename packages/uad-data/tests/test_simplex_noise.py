import pytest

torch = pytest.importorskip("torch", reason="corruptions need torch, which is not installed")

import itertools  # noqa: E402
import math  # noqa: E402

import numpy as np  # noqa: E402

from uad_data.corruptions import simplex_noise  # noqa: E402
from uad_data.corruptions.simplex_noise import _corners, _octave  # noqa: E402


def seeded(seed: int = 0) -> "torch.Generator":
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("size", "wavelength"), [((9, 12), 4.0), ((5, 6, 7), 3.0)])
def test_a_voxel_hears_all_lattice_points_within_reach(size: tuple[int, ...], wavelength: float) -> None:
    # Slow reference: of all lattice points, those nearer than sqrt(1/2) are the only ones that count.
    n = len(size)
    skew, unskew = (math.sqrt(n + 1) - 1) / n, (1 - 1 / math.sqrt(n + 1)) / n
    origin = torch.rand(n, generator=seeded())
    index, weight, lattice = _corners(size, wavelength, origin)
    nodes = np.array(list(itertools.product(*[range(points) for points in lattice])), float)
    places = nodes - origin.numpy()
    places -= unskew * places.sum(1, keepdims=True)
    assert np.allclose((places + skew * places.sum(1, keepdims=True)) + origin.numpy(), nodes)
    for voxel, place in enumerate(itertools.product(*[range(side) for side in size])):
        away = np.array(place) / wavelength - places
        reach = np.maximum(0.5 - (away**2).sum(1), 0) ** 4
        dense = np.zeros((len(nodes), n))
        np.add.at(dense, index[voxel].numpy(), weight[voxel].numpy())
        np.testing.assert_allclose(dense, reach[:, None] * away, atol=2e-6)


@pytest.mark.parametrize("size", [(96, 96), (32, 32, 32)])
@pytest.mark.parametrize("wavelength", [4.0, 8.0])
def test_an_octave_has_unit_spread_and_its_wavelength(size: tuple[int, ...], wavelength: float) -> None:
    noise = _octave(torch.zeros(16, 1, *size), wavelength, seeded())
    assert float(noise.std()) == pytest.approx(1, rel=0.05)
    assert float(noise.mean()) == pytest.approx(0, abs=0.05)
    near = float((noise[..., 1:] * noise[..., :-1]).mean())
    step = int(wavelength)
    far = float((noise[..., step:] * noise[..., :-step]).mean())
    assert near > 0.4
    assert abs(far) < 0.25


def test_octaves_add_up_to_the_stated_spread_inside_the_brain() -> None:
    brain = torch.zeros(32, 1, 64, 64, dtype=torch.bool)
    brain[..., 8:-8, 8:-8] = True
    image = torch.zeros(32, 2, 64, 64)
    noisy = simplex_noise(image, brain, sd=0.3, wavelength=16, generator=seeded())
    inside = brain.expand_as(noisy)
    assert not noisy[~inside].any()
    assert float(noisy[inside].std()) == pytest.approx(0.3, rel=0.1)
    assert not torch.equal(noisy[:, 0], noisy[:, 1])


def test_more_octaves_are_rougher() -> None:
    image, brain = torch.zeros(8, 1, 64, 64), torch.ones(8, 1, 64, 64, dtype=torch.bool)
    rough = [
        float(simplex_noise(image, brain, sd=1, octaves=octaves, generator=seeded()).diff(dim=-1).std())
        for octaves in (1, 3, 6)
    ]
    assert rough[0] * 2 < rough[1]
    assert rough[1] * 2 < rough[2]


def test_noise_is_not_zero_at_the_same_places_in_every_batch() -> None:
    image, brain = torch.zeros(64, 1, 32, 32), torch.ones(64, 1, 32, 32, dtype=torch.bool)
    spreads = [simplex_noise(image, brain, octaves=1, wavelength=8, generator=seeded(i)).std(0) for i in range(2)]
    # Each batch has places of nearly no noise, the lattice's points, and they are elsewhere in the next.
    assert all(float(spread.min()) < 0.2 * float(spread.mean()) for spread in spreads)
    assert int(spreads[0].argmin()) != int(spreads[1].argmin())
