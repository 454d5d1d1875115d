"""Which labelled scans are learned from: a few of those with a lesion, the few part of the many."""

from dataclasses import replace

import numpy as np

from uad_data.arrays import ArrayStore
from uad_data.errors import InputError


def labelled_scans(store: ArrayStore, split: str) -> np.ndarray:
    """Return the scans of a split in which someone has drawn a lesion.

    Parameters
    ----------
    store
        The prepared arrays.
    split
        ``"train"``, ``"val"`` or ``"test"``.

    Returns
    -------
    ndarray
        ``(n,)`` int, rows of the cohort, ascending.
    """
    index = store.index.iloc[store.rows(split)]
    return np.unique(index["scan"].to_numpy()[index["lesion_voxels"].to_numpy() > 0])


def labelled_view(
    store: ArrayStore, *, scans: int | None = None, validation_scans: int | None = None, seed: int = 0
) -> ArrayStore:
    """Leave a few labelled scans in the splits ``train`` and ``val``, with all their rows.

    Parameters
    ----------
    store
        The prepared arrays.
    scans
        Labelled scans to learn from, at least 1; None for all there are. Of two numbers the smaller group is part of
        the larger.
    validation_scans
        Labelled scans by whose loss the weights are chosen, likewise. Their labels are labels too.
    seed
        Of the choice.

    Returns
    -------
    ArrayStore
        A view: whatever else was in ``train`` or ``val`` is in no split; ``test`` stays.

    Raises
    ------
    InputError
        There are not so many.
    """
    split = store.index["split"].to_numpy().copy()
    whose = store.index["scan"].to_numpy()
    for place, (name, wanted) in enumerate({"train": scans, "val": validation_scans}.items()):
        found = labelled_scans(store, name)
        if not found.size or not 1 <= (len(found) if wanted is None else wanted) <= len(found):
            asked = "all" if wanted is None else wanted
            raise InputError(
                f"labelled scans of split '{name}': expected 1 to {len(found)}, as many as have a lesion, got {asked}"
            )
        kept = np.random.default_rng([seed, place]).permutation(found)[:wanted]
        split[(split == name) & ~np.isin(whose, kept)] = ""
    return replace(store, index=store.index.assign(split=split))


def label_values(store: ArrayStore, split: str) -> list[int]:
    """Return the values that the labels of a split have, without 0.

    Parameters
    ----------
    store
        The prepared arrays.
    split
        ``"train"``, ``"val"`` or ``"test"``.

    Returns
    -------
    list of int
        Ascending.
    """
    found: set[int] = set()
    for row in store.rows(split):
        found |= set(np.unique(store.lesion[row]).tolist())
    return sorted(found - {0})


def scan_names(store: ArrayStore, split: str) -> list[str]:
    """Name the scans of a split, as ``subject`` or ``subject/session``.

    Parameters
    ----------
    store
        The prepared arrays, or a view.
    split
        ``"train"``, ``"val"`` or ``"test"``.

    Returns
    -------
    list of str
        In the cohort's order.
    """
    each = store.index.iloc[store.rows(split)].drop_duplicates("scan")
    return ["/".join(filter(None, pair)) for pair in zip(each["subject"], each["session"], strict=True)]
