import pytest

torch = pytest.importorskip("torch", reason="corruptions need torch, which is not installed")

from uad_data.corruptions import rotate_translate  # noqa: E402
from uad_data.errors import InputError  # noqa: E402


def seeded(seed: int = 0) -> "torch.Generator":
    return torch.Generator().manual_seed(seed)


def framed(size: tuple[int, ...], b: int = 120) -> tuple["torch.Tensor", "torch.Tensor"]:
    """Random brains with an empty margin of an eighth, so that nothing leaves the image."""
    inner = (..., *[slice(side // 8, side - side // 8) for side in size])
    brain = torch.zeros(b, 1, *size, dtype=torch.bool)
    brain[inner] = torch.rand(brain[inner].shape, generator=seeded(5)) < 0.7
    return torch.rand((b, 2, *size), generator=seeded(6)) * brain, brain


@pytest.mark.parametrize("size", [(32, 32), (8, 16, 16)])
def test_the_classes_undo_the_movement(size: tuple[int, ...]) -> None:
    image, brain = framed(size)
    result = rotate_translate(image, brain, generator=seeded())
    axes, steps = tuple(range(1, 1 + len(size))), torch.tensor(size) // 8
    for i in range(len(image)):
        back = [-int(shift) for shift in (result.translation[i] - 1) * steps]
        turns = -int(result.rotation[i])
        for moved, before in ((result.image[i], image[i]), (result.brain[i], brain[i])):
            assert torch.equal(torch.rot90(torch.roll(moved, back, axes), turns, (-2, -1)), before)


def test_all_classes_occur_about_equally_often() -> None:
    image, brain = framed((16, 16), b=1200)
    result = rotate_translate(image, brain, generator=seeded())
    assert result.rotation.bincount(minlength=4).tolist() == pytest.approx([300] * 4, rel=0.2)
    for axis in range(2):
        assert result.translation[:, axis].bincount(minlength=3).tolist() == pytest.approx([400] * 3, rel=0.2)
    assert len(torch.cat([result.rotation[:, None], result.translation], 1).unique(dim=0)) == 36


def test_what_leaves_is_lost_and_what_is_left_behind_is_zero() -> None:
    image, brain = torch.ones(50, 1, 16, 16), torch.ones(50, 1, 16, 16, dtype=torch.bool)
    result = rotate_translate(image, brain, generator=seeded())
    still = (result.translation == 1).all(1)
    assert still.any()
    assert (result.image[still] == 1).all()
    assert torch.equal(result.image != 0, result.brain)
    moved = (result.translation != 1).sum(1)
    expected = torch.tensor([256, 16 * 14, 14 * 14])[moved]
    assert torch.equal(result.brain.flatten(1).sum(1), expected)


def test_oblong_images_are_refused() -> None:
    with pytest.raises(InputError, match=r"expected h and w alike.*got \(16, 8\): pad or crop"):
        rotate_translate(torch.zeros(1, 1, 16, 8), torch.zeros(1, 1, 16, 8, dtype=torch.bool))
