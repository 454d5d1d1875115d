import pytest

torch = pytest.importorskip("torch", reason="corruptions need torch, which is not installed")

from uad_data.corruptions import coarse_noise  # noqa: E402


def seeded(seed: int = 0) -> "torch.Generator":
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("size", [(64, 48), (16, 32, 24)])
def test_inside_the_brain_only_and_of_the_stated_size(size: tuple[int, ...]) -> None:
    image = torch.zeros(8, 2, *size)
    brain = torch.zeros(8, 1, *size, dtype=torch.bool)
    brain[..., 4:-4] = True
    noisy = coarse_noise(image, brain, sd=0.3, resolution=8, generator=seeded())
    assert not noisy[~brain.expand_as(noisy)].any()
    # Between the points that are drawn, linear interpolation averages: the spread is below sd and of its order.
    assert 0.3 * 0.4 < float(noisy[brain.expand_as(noisy)].std()) < 0.3
    assert not torch.equal(noisy[:, 0], noisy[:, 1])


def test_at_full_resolution_it_is_plain_noise() -> None:
    noisy = coarse_noise(
        torch.zeros(4, 1, 32, 32), torch.ones(4, 1, 32, 32, dtype=torch.bool), resolution=32, generator=seeded()
    )
    assert float(noisy.std()) == pytest.approx(0.2, rel=0.05)


def test_same_generator_same_noise() -> None:
    image, brain = torch.ones(2, 1, 32, 32), torch.ones(2, 1, 32, 32, dtype=torch.bool)
    torch.testing.assert_close(
        coarse_noise(image, brain, generator=seeded(3)), coarse_noise(image, brain, generator=seeded(3)), rtol=0, atol=0
    )
    assert not torch.equal(
        coarse_noise(image, brain, generator=seeded(3)), coarse_noise(image, brain, generator=seeded(4))
    )


def test_shift_wraps_around_and_differs_between_images(monkeypatch: pytest.MonkeyPatch) -> None:
    ramp = torch.arange(16.0).reshape(4, 4)
    monkeypatch.setattr(torch, "randn", lambda shape, **_: ramp.expand(shape).clone())
    noisy = coarse_noise(
        torch.zeros(2, 1, 4, 4),
        torch.ones(2, 1, 4, 4, dtype=torch.bool),
        sd=1.0,
        resolution=4,
        generator=seeded(1),
    )
    rolls = [torch.roll(ramp, (dh, dw), (0, 1)) for dh in range(4) for dw in range(4)]
    found = [next(i for i, rolled in enumerate(rolls) if torch.equal(rolled, image[0])) for image in noisy]
    assert found[0] != found[1]
