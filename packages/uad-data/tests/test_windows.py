import pytest

torch = pytest.importorskip("torch", reason="corruptions need torch, which is not installed")

from uad_data.corruptions.windows import read_windows, window_index, write_windows  # noqa: E402


@pytest.mark.parametrize(("size", "sides"), [((7, 9), (3, 4)), ((5, 6, 7), (2, 3, 4))])
def test_windows_are_what_slices_are(size: tuple[int, ...], sides: tuple[int, ...]) -> None:
    image = torch.rand(4, 2, *size, generator=torch.Generator().manual_seed(0))
    start = torch.stack([torch.arange(4) % (a - b + 1) for a, b in zip(size, sides, strict=True)], dim=1)
    index = window_index(start, sides, size)
    written, expected = image.clone(), image.clone()
    write_windows(written, index, -read_windows(image, index))
    for i in range(4):
        place = (i, slice(None), *[slice(int(a), int(a) + b) for a, b in zip(start[i], sides, strict=True)])
        assert torch.equal(read_windows(image, index)[i], image[place])
        expected[place] = -image[place]
    assert torch.equal(written, expected)


def test_beyond_the_image_its_edge_is_read() -> None:
    image = torch.arange(12.0).view(1, 1, 3, 4)
    index = window_index(torch.tensor([[-1, 2]]), (3, 3), (3, 4))
    assert read_windows(image, index)[0, 0].tolist() == [[2, 3, 3], [2, 3, 3], [6, 7, 7]]
