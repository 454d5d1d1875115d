"""Augment a batch by nnU-Net's recipe, with the library that nnU-Net uses.

The transforms are those of batchgeneratorsv2, on the CPU, image by image. It is the only one of four libraries that has
the whole recipe, being its reference, and the fastest: 32 slices of 128 x 128 took it 62 ms on one core, kornia 141 ms,
MONAI 355 ms and TorchIO 466 ms; two volumes of 64 x 64 x 64 took it 28 ms, TorchIO 71 ms and MONAI 76 ms
(``benchmarks/measure_augmentation.py``; kornia has no intensity transforms for volumes).

Axes: ``b`` batch, ``c`` channels, ``*s`` space, ``(h, w)`` or ``(d, h, w)``.
"""

import importlib.util
import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, overload

import numpy as np
import torch
from torch import Tensor

from uad_data.augmentation.recipe import NNUNET, AugmentationRecipe
from uad_data.errors import InputError

_FLAT = 3  # a volume this many times as wide as thick is turned as slices are
_OBLONG = 1.5


@overload
def augment(
    image: Tensor, brain: Tensor, *, generator: torch.Generator, recipe: AugmentationRecipe = ..., label: None = None
) -> tuple[Tensor, Tensor]: ...


@overload
def augment(
    image: Tensor, brain: Tensor, *, generator: torch.Generator, recipe: AugmentationRecipe = ..., label: Tensor
) -> tuple[Tensor, Tensor, Tensor]: ...


def augment(
    image: Tensor,
    brain: Tensor,
    *,
    generator: torch.Generator,
    recipe: AugmentationRecipe = NNUNET,
    label: Tensor | None = None,
) -> tuple[Tensor, ...]:
    """Augment every image of a batch, each in its own way.

    Parameters
    ----------
    image : Tensor
        ``(b, c, *s)`` float, 0 outside the brain. It is not changed.
    brain : Tensor
        ``(b, 1, *s)`` bool.
    generator : torch.Generator
        Source of all randomness, on any device. One number is drawn from it.
    recipe : AugmentationRecipe, default: NNUNET
        What to do, how often and how strongly.
    label : Tensor, optional
        ``(b, k, *s)`` whole numbers up to 32767, moved along by nearest neighbour.

    Returns
    -------
    image : Tensor
        ``(b, c, *s)`` float32, 0 outside the new brain.
    brain : Tensor
        ``(b, 1, *s)`` bool.
    label : Tensor
        Only when one was given: like it.

    Raises
    ------
    InputError
        batchgeneratorsv2 is not installed, or the shapes do not fit each other.

    Notes
    -----
    nnU-Net augments images normalised to mean 0 and standard deviation 1 inside the brain, so that is what is done here
    too, and undone after. The library draws from the global random states of NumPy and torch: they are seeded from the
    generator for the while and then put back, so two threads of a process must not augment at once. It runs on one
    thread, so that the bits do not depend on how many there are.
    """
    check_installed()
    _check(image, brain, label)
    pipeline = _pipeline(recipe, tuple(image.shape[2:]))
    seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
    masks = [brain.to("cpu", torch.int16)] + ([] if label is None else [label.to("cpu", torch.int16)])
    with _isolated(seed):
        unit, mean, sd = _normalised(image.to("cpu", torch.float32), brain.cpu())
        pairs = zip(unit, torch.cat(masks, dim=1), strict=True)
        done = [pipeline(image=x, segmentation=y) for x, y in pairs]
        moved = torch.stack([each["segmentation"] for each in done])
        inside = moved[:, :1] > 0
        unit = (torch.stack([each["image"] for each in done]) * sd + mean) * inside
    augmented = (unit.to(image.device), inside.to(brain.device))
    return augmented if label is None else (*augmented, moved[:, 1:].to(label.device, label.dtype))


def check_installed() -> None:
    """Refuse to go on without the library.

    Raises
    ------
    InputError
        batchgeneratorsv2 is not installed; the message says what to install.
    """
    if importlib.util.find_spec("batchgeneratorsv2") is None:
        raise InputError(
            "augmentation: the package batchgeneratorsv2 is not installed. Install it with "
            '`pip install "uad-data[augmentation]"`.'
        )


def _check(image: Tensor, brain: Tensor, label: Tensor | None) -> None:
    """Refuse what does not fit."""
    b, space = len(image), tuple(image.shape[2:])
    if len(space) not in (2, 3) or not image.is_floating_point():
        raise InputError(f"image: expected (b, c, *s) float in 2D or 3D, got {tuple(image.shape)} {image.dtype}")
    if brain.dtype != torch.bool or tuple(brain.shape) != (b, 1, *space):
        raise InputError(f"brain: expected {(b, 1, *space)} bool, got {tuple(brain.shape)} {brain.dtype}")
    if label is not None and (len(label) != b or tuple(label.shape[2:]) != space):
        raise InputError(f"label: expected ({b}, k, {', '.join(map(str, space))}), got {tuple(label.shape)}")


def _normalised(image: Tensor, brain: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Give each channel mean 0 and standard deviation 1 inside the brain, 0 outside; return that, mean and sd."""
    space = tuple(range(2, image.ndim))
    count = brain.sum(space, keepdim=True).clamp(min=1)
    mean = image.sum(space, keepdim=True) / count
    centred = (image - mean) * brain
    sd = (centred.square().sum(space, keepdim=True) / count).sqrt().clamp(min=1e-6)
    return centred / sd, mean, sd


@contextmanager
def _isolated(seed: int) -> Iterator[None]:
    """Seed the global random states, work on one thread, and put all back."""
    numpy_state = np.random.get_state()  # noqa: NPY002 - what the library draws from
    torch_state, threads = torch.get_rng_state(), torch.get_num_threads()
    try:
        np.random.seed(np.random.SeedSequence(seed).generate_state(4))  # noqa: NPY002
        torch.default_generator.manual_seed(seed)
        torch.set_num_threads(1)
        yield
    finally:
        np.random.set_state(numpy_state)  # noqa: NPY002
        torch.set_rng_state(torch_state)
        torch.set_num_threads(threads)


@lru_cache(maxsize=8)
def _pipeline(recipe: AugmentationRecipe, size: tuple[int, ...]) -> Any:
    """Build the library's transforms for images of a size."""
    from batchgeneratorsv2.transforms.intensity import brightness, contrast, gamma, gaussian_noise
    from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform
    from batchgeneratorsv2.transforms.spatial.low_resolution import SimulateLowResolutionTransform
    from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
    from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
    from batchgeneratorsv2.transforms.utils.pseudo2d import Convert2DTo3DTransform, Convert3DTo2DTransform
    from batchgeneratorsv2.transforms.utils.random import RandomTransform

    flat = len(size) == 3 and max(size) / size[0] > _FLAT
    spatial = _spatial(recipe, size[1:] if flat else size)
    moves = [Convert3DTo2DTransform(), spatial, Convert2DTo3DTransform()] if flat else [spatial]
    each_channel = {"synchronize_channels": False, "p_per_channel": 1}
    half = {"synchronize_channels": False, "p_per_channel": 0.5}

    def gammas(p_inverted: float) -> Any:
        factors = contrast.BGContrast(recipe.gamma)
        return gamma.GammaTransform(factors, p_invert_image=p_inverted, p_retain_stats=1, **each_channel)

    # No benchmark=True for the blur, as nnU-Net has: it picks an algorithm by timing, and so the last bits.
    intensity = [
        (recipe.p_noise, gaussian_noise.GaussianNoiseTransform(recipe.noise_sd, synchronize_channels=True)),
        (recipe.p_blur, GaussianBlurTransform(recipe.blur_sd, synchronize_axes=False, **half)),
        (
            recipe.p_brightness,
            brightness.MultiplicativeBrightnessTransform(contrast.BGContrast(recipe.brightness), **each_channel),
        ),
        (
            recipe.p_contrast,
            contrast.ContrastTransform(contrast.BGContrast(recipe.contrast), preserve_range=True, **each_channel),
        ),
        (
            recipe.p_low_resolution,
            SimulateLowResolutionTransform(
                recipe.low_resolution, synchronize_axes=True, ignore_axes=(0,) if flat else None, **half
            ),
        ),
        (recipe.p_gamma_inverted, gammas(1)),
        (recipe.p_gamma, gammas(0)),
    ]
    mirror = MirrorTransform(tuple(range(len(size))) if recipe.mirror is None else recipe.mirror)
    return ComposeTransforms([*moves, *(RandomTransform(step, p) for p, step in intensity), mirror])


def _spatial(recipe: AugmentationRecipe, size: tuple[int, ...]) -> Any:
    """Build the rotation, scaling and deformation."""
    from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform

    oblong = max(size) / min(size) > _OBLONG
    plane = recipe.rotation_2d_oblong if oblong else recipe.rotation_2d
    angle = math.radians(recipe.rotation_3d if len(size) == 3 else plane)
    low, high = (fraction * min(size) for fraction in recipe.elastic_shift)
    return SpatialTransform(
        size,
        patch_center_dist_from_border=0,
        random_crop=False,
        p_elastic_deform=recipe.p_elastic,
        elastic_deform_scale=recipe.elastic_scale,
        elastic_deform_magnitude=(low, high),
        p_rotation=recipe.p_rotation,
        rotation=(-angle, angle),
        p_scaling=recipe.p_scaling,
        scaling=recipe.scaling,
        p_synchronize_scaling_across_axes=1,
        mode_seg="nearest",
    )
