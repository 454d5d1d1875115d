import pytest

torch = pytest.importorskip("torch", reason="corruptions need torch, which is not installed")

from uad_data.corruptions.shapes import Shapes, paint  # noqa: E402


def shapes(**changes: object) -> "Shapes":
    given = {
        "start": torch.tensor([[[1, 1], [2, 2]]]),
        "side": torch.tensor([[3, 3]]),
        "is_round": torch.tensor([[False, False]]),
        "value": torch.tensor([[[2.0], [3.0]]]),
        "present": torch.tensor([[True, True]]),
    }
    return Shapes(**{**given, **changes})


def paint_on_zeros(painted: "Shapes", size: int = 6) -> "torch.Tensor":
    result = paint(torch.zeros(1, 1, size, size), torch.ones(1, 1, size, size, dtype=torch.bool), painted, largest=5)
    assert torch.equal(result.mask, result.image != 0)
    return result.image[0, 0]


def test_later_shapes_lie_over_earlier_ones() -> None:
    expected = torch.zeros(6, 6)
    expected[1:4, 1:4] = 2
    expected[2:5, 2:5] = 3
    assert torch.equal(paint_on_zeros(shapes()), expected)


def test_absent_shapes_are_not_painted() -> None:
    found = paint_on_zeros(shapes(present=torch.tensor([[True, False]])))
    assert int((found == 2).sum()) == 9
    assert not (found == 3).any()


def test_a_disc_has_its_diameter_and_no_corners() -> None:
    one = {"start": torch.tensor([[[0, 0]]]), "side": torch.tensor([[5]]), "is_round": torch.tensor([[True]])}
    found = paint_on_zeros(shapes(**one, value=torch.ones(1, 1, 1), present=torch.tensor([[True]])))
    disc = ["01110", "11111", "11111", "11111", "01110"]
    assert torch.equal(found[:5, :5], torch.tensor([[float(letter) for letter in line] for line in disc]))


@pytest.mark.parametrize(("start", "voxels"), [((-2, -1), 3 * 4), ((4, 1), 2 * 5), ((-9, 0), 0), ((0, 30), 0)])
def test_shapes_may_lie_partly_or_wholly_outside(start: tuple[int, int], voxels: int) -> None:
    one = {"start": torch.tensor([[start]]), "side": torch.tensor([[5]]), "is_round": torch.tensor([[False]])}
    found = paint_on_zeros(shapes(**one, value=torch.ones(1, 1, 1), present=torch.tensor([[True]])))
    assert int(found.sum()) == voxels
