import builtins
import dataclasses
import importlib.util
import random
import sys

import numpy as np
import pytest
import torch

from uad_data.augmentation import NNUNET, AugmentationRecipe, augment
from uad_data.errors import InputError

pytest.importorskip("batchgeneratorsv2")

NOTHING = AugmentationRecipe(
    mirror=(), **{each.name: 0.0 for each in dataclasses.fields(NNUNET) if each.name.startswith("p_")}
)
SIZES = [(24, 28), (12, 14, 16), (4, 20, 20)]


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def only(**changes):
    return dataclasses.replace(NOTHING, **changes)


def batch(size, b=6, c=2, seed=0):
    axes = torch.meshgrid(*[torch.linspace(-1, 1, side) for side in size], indexing="ij")
    brain = (sum(axis**2 for axis in axes) < 0.7).expand(b, 1, *size).clone()
    image = torch.rand((b, c, *size), generator=torch.Generator().manual_seed(seed)) + 0.5
    return image * brain, brain


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("size", SIZES)
def test_the_whole_recipe_in_2d_and_3d_leaves_nothing_outside_the_brain(size):
    image, brain = batch(size, b=12)
    recipe = dataclasses.replace(NNUNET, p_elastic=0.5)
    before = image.clone()
    new, inside = augment(image, brain, generator=seeded(), recipe=recipe)
    assert new.shape == image.shape
    assert new.dtype == torch.float32
    assert inside.dtype == torch.bool
    assert (new * ~inside == 0).all()
    assert new.isfinite().all()
    assert torch.equal(image, before)
    assert len({tuple(x.flatten().tolist()) for x in new}) == 12
    assert 0.3 * brain.sum() < inside.sum() < 2 * brain.sum()


@pytest.mark.parametrize("threads", [1, 2])
def test_the_generator_alone_decides_and_the_global_states_are_left_as_they_were(threads):
    image, brain = batch((40, 40))
    first = augment(image, brain, generator=seeded(3))
    torch.set_num_threads(threads)
    try:
        torch.manual_seed(7)
        np.random.seed(8)  # noqa: NPY002
        random.seed(9)
        states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
        again = augment(image, brain, generator=seeded(3))
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(1)
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.array_equal(np.random.get_state()[1], states[1])  # noqa: NPY002
    assert random.getstate() == states[2]
    assert not torch.equal(first[0], augment(image, brain, generator=seeded(4))[0])
    generator = seeded(3)
    augment(image, brain, generator=generator)
    assert not torch.equal(first[0], augment(image, brain, generator=generator)[0])


@pytest.mark.parametrize("size", SIZES)
def test_nothing_to_do_gives_the_images_back(size):
    image, brain = batch(size)
    new, inside = augment(image, brain, generator=seeded(), recipe=NOTHING)
    torch.testing.assert_close(new, image)
    assert torch.equal(inside, brain)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "recipe",
    [
        only(p_rotation=1.0),
        only(p_scaling=1.0),
        only(p_elastic=1.0, elastic_scale=(0.2, 0.2), elastic_shift=(0.2, 0.2)),
        only(mirror=None),
    ],
)
def test_labels_and_brain_move_with_the_image(size, recipe):
    """The image is the label itself, so they must still agree after, but for the blur at edges."""
    brain = torch.ones(8, 1, *size, dtype=torch.bool)
    label = torch.zeros(8, 1, *size, dtype=torch.int64)
    label[..., : size[-2] // 2, : size[-1] // 2] = 3
    new, inside, moved = augment(label.float(), brain, generator=seeded(), recipe=recipe, label=label)
    assert moved.dtype == torch.int64
    assert set(moved.unique().tolist()) == {0, 3}
    assert not torch.equal(moved, label)
    agree = ((new / 3 > 0.5) == (moved == 3))[inside]
    assert agree.float().mean() > 0.9


def test_mirrors_flip_the_chosen_axes_of_half_the_images():
    image, brain = batch((10, 12), b=64)
    new, _ = augment(image, brain, generator=seeded(), recipe=only(mirror=(1,)))
    flipped = [torch.allclose(x, y.flip(-1), atol=1e-5) for x, y in zip(new, image, strict=True)]
    same = [torch.allclose(x, y, atol=1e-5) for x, y in zip(new, image, strict=True)]
    assert all(f != s for f, s in zip(flipped, same, strict=True))
    assert 20 < sum(flipped) < 44


def test_noise_counts_in_the_brains_own_standard_deviations():
    image, brain = batch((64, 64), b=2, c=1)
    image[1] *= 100
    new, _ = augment(image, brain, generator=seeded(), recipe=only(p_noise=1.0, noise_sd=(0.1, 0.1)))
    for x, y, inside in zip(new, image, brain, strict=True):
        assert (x - y)[inside].std().item() == pytest.approx(0.1 * y[inside].std().item(), rel=0.1)


def test_probabilities_are_per_image():
    image, brain = batch((16, 16), b=200, c=1)
    new, _ = augment(image, brain, generator=seeded(), recipe=only(p_gamma=0.3))
    changed = (new - image).abs().flatten(1).amax(1) > 1e-4
    assert 0.2 < changed.float().mean() < 0.4


def test_brightness_contrast_gamma_blur_and_low_resolution_each_change_the_image_their_way():
    image, brain = batch((32, 32), b=8, c=1)

    def spread(recipe):
        new, _ = augment(image, brain, generator=seeded(), recipe=recipe)
        before, after = (torch.stack([x[m].std() for x, m in zip(y, brain, strict=True)]) for y in (image, new))
        return after / before

    brightness = spread(only(p_brightness=1.0))
    assert ((brightness > 0.74) & (brightness < 1.26)).all()
    assert (brightness < 1).any()
    assert (brightness > 1).any()
    assert (spread(only(p_contrast=1.0, contrast=(1.2, 1.25))) > 1.0).all()
    assert spread(only(p_blur=1.0)).min() < 0.8
    assert spread(only(p_low_resolution=1.0)).min() < 0.95
    for recipe in (only(p_gamma=1.0, gamma=(1.4, 1.5)), only(p_gamma_inverted=1.0, gamma=(1.4, 1.5))):
        new, _ = augment(image, brain, generator=seeded(), recipe=recipe)
        assert not torch.allclose(new, image, atol=1e-2)


def test_an_empty_and_a_constant_brain_stay_finite():
    image = torch.zeros(2, 1, 16, 16)
    brain = torch.zeros(2, 1, 16, 16, dtype=torch.bool)
    brain[1, :, 4:12, 4:12] = True
    image[1, :, 4:12, 4:12] = 0.5
    for seed in range(5):
        new, inside = augment(image, brain, generator=seeded(seed))
        assert new.isfinite().all()
        assert (new[0] == 0).all()
        assert new[1][inside[1]].mean() == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image": torch.zeros(2, 1, 8)}, "image: expected"),
        ({"image": torch.zeros(2, 1, 8, 8, dtype=torch.int32)}, "image: expected"),
        ({"brain": torch.zeros(2, 1, 8, 8)}, "brain: expected"),
        ({"brain": torch.zeros(2, 1, 8, 9, dtype=torch.bool)}, "brain: expected"),
        ({"label": torch.zeros(3, 1, 8, 8)}, "label: expected"),
    ],
)
def test_what_does_not_fit_is_refused(changes, message):
    given = {"image": torch.zeros(2, 1, 8, 8), "brain": torch.zeros(2, 1, 8, 8, dtype=torch.bool)} | changes
    with pytest.raises(InputError, match=message):
        augment(**given, generator=seeded())


@pytest.mark.parametrize(("name", "value"), [("p_noise", 1.1), ("p_blur", -0.1), ("scaling", (1.4, 0.7))])
def test_a_recipe_out_of_range_is_refused(name, value):
    with pytest.raises(InputError, match=f"{name}: expected"):
        AugmentationRecipe(**{name: value})


def test_without_the_library_the_error_says_what_to_install(monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "batchgeneratorsv2" else real(name))
    image, brain = batch((8, 8))
    with pytest.raises(InputError, match=r'pip install "uad-data\[augmentation\]"'):
        augment(image, brain, generator=seeded())


def test_importing_the_module_does_not_import_the_library(monkeypatch):
    for name in [name for name in sys.modules if name.startswith(("batchgeneratorsv2", "uad_data.augmentation"))]:
        monkeypatch.delitem(sys.modules, name)
    real = builtins.__import__

    def refuse(name, *rest, **named):
        assert not name.startswith("batchgeneratorsv2")
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", refuse)
    importlib.import_module("uad_data.augmentation")
