"""Corruptions of healthy images, for methods that learn to undo or to find them: batched in torch, one file per idea.

Each takes ``image (b, c, *s)`` and ``brain (b, 1, *s)``, ``*s`` being ``(h, w)`` or ``(d, h, w)``, and changes the
image inside the brain only (`rotate_translate` moves image and brain together). Importing this needs torch, which the
rest of ``uad_data`` does not. Axes: ``b`` batch, ``c`` channels, ``d h w`` space, ``k`` shapes or points, ``n`` spatial
axes.
"""

from collections.abc import Callable

from torch import Tensor

from uad_data.corruptions.coarse_noise import coarse_noise
from uad_data.corruptions.context_mask import context_mask
from uad_data.corruptions.corrupted import Blended, Corrupted, Moved
from uad_data.corruptions.foreign_patch import foreign_patch
from uad_data.corruptions.gaussian_noise import gaussian_noise
from uad_data.corruptions.lesions import (
    MIXES,
    SEQUENCES,
    LesionMix,
    SequencePrior,
    blur_noise,
    cut_paste,
    deformation,
    draem_texture,
    field_blobs,
    foreign_interpolation,
    intensity_shift,
    mix_lesions,
    nsa,
)
from uad_data.corruptions.patch_swap import patch_swap
from uad_data.corruptions.random_shapes import random_shapes
from uad_data.corruptions.rotate_translate import rotate_translate
from uad_data.corruptions.simplex_noise import simplex_noise
from uad_data.corruptions.synthetic_lesions import synthetic_lesions

#: Name to function.
CORRUPTIONS: dict[str, Callable[..., Tensor | Corrupted | Moved]] = {
    "blur_noise": blur_noise,
    "coarse_noise": coarse_noise,
    "context_mask": context_mask,
    "cut_paste": cut_paste,
    "deformation": deformation,
    "draem_texture": draem_texture,
    "field_blobs": field_blobs,
    "foreign_interpolation": foreign_interpolation,
    "foreign_patch": foreign_patch,
    "gaussian_noise": gaussian_noise,
    "intensity_shift": intensity_shift,
    "mix_lesions": mix_lesions,
    "nsa": nsa,
    "patch_swap": patch_swap,
    "random_shapes": random_shapes,
    "rotate_translate": rotate_translate,
    "simplex_noise": simplex_noise,
    "synthetic_lesions": synthetic_lesions,
}

__all__ = [
    "CORRUPTIONS",
    "MIXES",
    "SEQUENCES",
    "Blended",
    "Corrupted",
    "LesionMix",
    "Moved",
    "SequencePrior",
    "blur_noise",
    "coarse_noise",
    "context_mask",
    "cut_paste",
    "deformation",
    "draem_texture",
    "field_blobs",
    "foreign_interpolation",
    "foreign_patch",
    "gaussian_noise",
    "intensity_shift",
    "mix_lesions",
    "nsa",
    "patch_swap",
    "random_shapes",
    "rotate_translate",
    "simplex_noise",
    "synthetic_lesions",
]
