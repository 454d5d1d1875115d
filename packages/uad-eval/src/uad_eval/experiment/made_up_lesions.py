"""Healthy validation scans with made-up lesions in them: how a threshold is chosen where there are no labels.

The lesions are those of `uad_data.corruptions.lesions`. A method that learns from made-up lesions names the kinds that
it kept from training as ``held_out`` in its config, and meets those alone; any other method meets the whole mix.
"""

from dataclasses import replace

import numpy as np
import torch

from uad_data import ArrayStore
from uad_data.corruptions.lesions import SEQUENCES, LesionMix, mix_lesions
from uad_models import Method

_SEED = 0  # of order and lesions: every method that holds out the same kinds meets the same ones
_BATCH_VOXELS = 1 << 22
_MOST_ROWS = 512


def held_out_mix(method: Method, modalities: tuple[str, ...]) -> LesionMix | None:
    """Give the lesions that a method has not been trained on.

    Parameters
    ----------
    method : Method
        Its config may have ``held_out``, names of lesion kinds.
    modalities : tuple of str
        Of the images' channels.

    Returns
    -------
    LesionMix or None
        None for a sequence without a prior, see `uad_data.corruptions.lesions.sequences`, and for an ensemble whose
        members have been trained on all kinds between them.
    """
    if not set(modalities) <= set(SEQUENCES):
        return None
    mix = LesionMix.of(*modalities)
    held_out = getattr(method.config, "held_out", None)
    if held_out is None:
        return mix
    return mix.only(*held_out) if held_out else None


def with_made_up_lesions(store: ArrayStore, rows: np.ndarray, *, mix: LesionMix) -> ArrayStore:
    """Put made-up lesions into some rows of a store.

    Parameters
    ----------
    store : ArrayStore
        The prepared cohort.
    rows : numpy.ndarray
        ``(n,)`` int, rows without a lesion. At most 512 of them are taken, which settles a threshold; shuffled, so that
        what one image lends another is another person's.
    mix : LesionMix
        Which lesions.

    Returns
    -------
    ArrayStore
        These rows alone, in memory: images with lesions, and their masks as ``lesion`` ``(n, *size)`` uint8.
    """
    rows = np.random.default_rng(_SEED).permutation(rows)[:_MOST_ROWS]
    view = replace(
        store,
        image=np.empty((len(rows), *store.image.shape[1:]), store.image.dtype),
        brain=store.brain[rows],
        lesion=np.empty((len(rows), *store.spec.size), np.uint8),
        index=store.index.iloc[rows].reset_index(drop=True),
    )
    generator = torch.Generator().manual_seed(_SEED)
    share = max(2, min(16, _BATCH_VOXELS // int(np.prod(store.image.shape[1:]))))
    for start in range(0, len(rows), share):
        here = slice(start, start + share)
        batch = {name: torch.from_numpy(array) for name, array in store.batch(rows[here]).items()}
        made = mix_lesions(batch["image"], batch["brain"], mix=mix, generator=generator)
        view.image[here], view.lesion[here] = made.image.numpy(), made.mask[:, 0].numpy()
    return view
