"""What every corruption of the registry promises."""

import pytest

torch = pytest.importorskip("torch", reason="corruptions need torch, which is not installed")

from dataclasses import replace  # noqa: E402

from uad_data.corruptions import CORRUPTIONS, MIXES, Blended, Moved  # noqa: E402
from uad_data.errors import InputError  # noqa: E402

NAMES = sorted(CORRUPTIONS)
#: Without images left healthy on purpose.
OPTIONS = {"mix_lesions": {"mix": replace(MIXES["flair"], healthy=0)}}
SIZES = [(32, 32), (16, 24, 24)]


def seeded(seed: int = 0) -> "torch.Generator":
    return torch.Generator().manual_seed(seed)


def brains(size: tuple[int, ...], b: int = 4) -> "torch.Tensor":
    """Ellipses of different size, one for each image."""
    grids = torch.meshgrid([torch.linspace(-1, 1, side) for side in size], indexing="ij")
    distance = sum(grid.square() for grid in grids)
    return torch.stack([distance < 0.5 + 0.1 * i for i in range(b)])[:, None]


def healthy(size: tuple[int, ...], b: int = 4, c: int = 2) -> tuple["torch.Tensor", "torch.Tensor"]:
    brain = brains(size, b)
    image = torch.rand((b, c, *size), generator=seeded(9)) * brain
    return image, brain


def parts(result: object) -> dict[str, "torch.Tensor"]:
    return {"image": result} if torch.is_tensor(result) else vars(result)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", NAMES)
def test_changes_the_brain_only_and_labels_what_it_changes(name: str, size: tuple[int, ...]) -> None:
    image, brain = healthy(size)
    before = image.clone()
    result = CORRUPTIONS[name](image, brain, **OPTIONS.get(name, {}), generator=seeded())
    found = parts(result)
    assert torch.equal(image, before)
    assert found["image"].shape == image.shape
    assert found["image"].dtype == image.dtype
    assert found["image"].isfinite().all()
    changed = (found["image"] != image).any(1, keepdim=True)
    assert changed.flatten(1).any(1).all()
    if isinstance(result, Moved):
        assert not found["image"][~found["brain"].expand_as(image)].any()
        return
    assert not (changed & ~brain).any()
    if "mask" in found:
        assert found["mask"].shape == brain.shape
        assert found["mask"].dtype == torch.bool
        assert not (found["mask"] & ~brain).any()
    if "mask" in found and not isinstance(result, Blended):
        assert not (changed & ~found["mask"]).any()
    if isinstance(result, Blended):
        assert float(found["soft"].min()) >= 0
        assert float(found["soft"].max()) <= 1
        assert not found["soft"][~brain].any()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", NAMES)
def test_same_seed_same_bits_and_images_differ(name: str, size: tuple[int, ...]) -> None:
    image, brain = healthy(size)
    image, brain = image[:1].repeat(4, 1, *[1] * len(size)), brain[:1].repeat(4, 1, *[1] * len(size))
    first, again, other = (parts(CORRUPTIONS[name](image, brain, generator=seeded(seed))) for seed in (1, 1, 2))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["image"], other["image"])
    assert any(not torch.equal(first["image"][0], later) for later in first["image"][1:])


@pytest.mark.parametrize("name", NAMES)
def test_half_precision_is_computed_in_single_precision(name: str) -> None:
    image, brain = healthy((32, 32))
    half = image.half()
    found = parts(CORRUPTIONS[name](half, brain, generator=seeded()))["image"]
    expected = parts(CORRUPTIONS[name](half.float(), brain, generator=seeded()))["image"]
    assert found.dtype == torch.float16
    torch.testing.assert_close(found.float(), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_autocast_does_not_change_the_numbers(name: str) -> None:
    image, brain = healthy((32, 32))
    expected = parts(CORRUPTIONS[name](image, brain, generator=seeded()))["image"]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = parts(CORRUPTIONS[name](image, brain, generator=seeded()))["image"]
    assert torch.equal(found, expected)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", NAMES)
def test_empty_brain_is_left_alone(name: str, size: tuple[int, ...]) -> None:
    brain = brains(size)
    brain[1] = False
    image = torch.rand((4, 2, *size), generator=seeded(9)) * brain
    result = CORRUPTIONS[name](image, brain, generator=seeded())
    found = parts(result)
    assert torch.equal(found["image"][1], image[1])
    assert not any(found[key][1].any() for key in ("mask", "soft", "brain") if key in found)
    assert found["image"].isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_one_image_alone(name: str) -> None:
    image, brain = healthy((32, 32), b=1, c=1)
    assert parts(CORRUPTIONS[name](image, brain, generator=seeded()))["image"].isfinite().all()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", NAMES)
def test_draws_come_from_the_generators_device_and_nothing_waits_for_the_images(name, size) -> None:
    # The meta device has no numbers: a draw on the wrong device or a look at a value would fail.
    image, brain = (x.to("meta") for x in healthy(size))
    assert all(x.device.type == "meta" for x in parts(CORRUPTIONS[name](image, brain, generator=seeded())).values())


@pytest.mark.parametrize("name", NAMES)
def test_keeps_no_gradient_and_needs_no_generator(name: str) -> None:
    image, brain = healthy((32, 32))
    assert not parts(CORRUPTIONS[name](image.requires_grad_(), brain))["image"].requires_grad


@pytest.mark.parametrize("name", NAMES)
def test_input_that_does_not_fit_is_refused(name: str) -> None:
    image, brain = healthy((32, 32))
    with pytest.raises(InputError, match=rf"{name}: image: expected float \(b, c, h, w\).*got torch.int64"):
        CORRUPTIONS[name](image.long(), brain, generator=seeded())
    with pytest.raises(InputError, match=rf"{name}: brain: expected bool \(4, 1, 32, 32\).*got torch.float32"):
        CORRUPTIONS[name](image, brain.float(), generator=seeded())
    with pytest.raises(InputError, match=rf"{name}: brain: expected bool \(4, 1, 32, 32\).*\(2, 1, 32, 32\)"):
        CORRUPTIONS[name](image, brain[:2], generator=seeded())


def test_every_function_is_registered_under_its_name() -> None:
    assert {name: function.__name__ for name, function in CORRUPTIONS.items()} == {name: name for name in NAMES}
    assert len(NAMES) == 18
