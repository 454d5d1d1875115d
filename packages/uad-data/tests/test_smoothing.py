import pytest

torch = pytest.importorskip("torch", reason="corruptions need torch, which is not installed")

from scipy.ndimage import gaussian_filter  # noqa: E402

from uad_data.corruptions.lesions.smoothing import along_axes, blur, blur_inside, local_mean, smooth_noise  # noqa: E402


def seeded(seed: int = 0) -> "torch.Generator":
    return torch.Generator().manual_seed(seed)


SIZES = [(40, 32), (20, 24, 16)]


@pytest.mark.parametrize("size", SIZES)
def test_products_run_along_every_axis_of_every_image(size: tuple[int, ...]) -> None:
    x = torch.rand((2, 3, *size), generator=seeded())
    shared = [torch.rand((5 + axis, side), generator=seeded(axis)) for axis, side in enumerate(size)]
    own = [torch.stack((matrix, 2 * matrix)) for matrix in shared]
    letters = "dhw"[-len(size) :]
    rule = f"bc{letters},{','.join(a.upper() + a for a in letters)}->bc{letters.upper()}"
    expected = torch.einsum(rule, x, *shared)
    torch.testing.assert_close(along_axes(x, shared), expected)
    scale = torch.tensor([1.0, 2.0 ** len(size)]).view(2, 1, *[1] * len(size))
    torch.testing.assert_close(along_axes(x, own), expected * scale)


@pytest.mark.parametrize("size", SIZES)
def test_blurs_as_scipy_does_with_a_width_per_image(size: tuple[int, ...]) -> None:
    x = torch.rand((2, 1, *size), generator=seeded())
    found = blur(x, torch.tensor([1.0, 2.0]))
    for i, sd in enumerate((1.0, 2.0)):
        expected = gaussian_filter(x[i, 0].numpy(), sd, mode="constant", truncate=7)
        torch.testing.assert_close(found[i, 0], torch.from_numpy(expected), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(blur(x, 2.0)[1], found[1])


def test_nothing_flows_in_from_outside() -> None:
    x, where = torch.full((1, 1, 32, 32), 5.0), torch.zeros(1, 1, 32, 32)
    x[..., :16], where[..., :16] = 1.0, 1.0
    torch.testing.assert_close(blur_inside(x, where, torch.tensor([2.0]))[..., :16], x[..., :16])


@pytest.mark.parametrize("size", SIZES)
def test_local_mean_is_of_what_counts_nearby(size: tuple[int, ...]) -> None:
    half = size[-1] // 2
    x, weight = torch.ones(1, 1, *size), torch.zeros(1, 1, *size)
    x[..., half:] = 3
    weight[..., 0, : size[-1] // 4], weight[..., 0, -(size[-1] // 4) :] = 1, 1
    mean = local_mean(x, weight)
    assert float(mean[..., 0, 0].mean()) == pytest.approx(1, abs=0.05)
    assert float(mean[..., 0, -1].mean()) == pytest.approx(3, abs=0.05)
    # Far from anything that counts: the mean of all that does.
    assert float(mean[..., -1, :].mean()) == pytest.approx(2, abs=0.05)
    assert not local_mean(x, torch.zeros_like(weight)).any()


@pytest.mark.parametrize("size", SIZES)
def test_noise_is_smooth_and_of_unit_spread(size: tuple[int, ...]) -> None:
    noise = smooth_noise((200, 1, *size), (3, 6), seeded(), torch.device("cpu"))
    assert float(noise.std()) == pytest.approx(1, abs=0.25)
    assert float(noise.diff(dim=-1).std()) < 0.75
