"""Training, validation and test sets, drawn by subject: once, or as folds of a cross-validation."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from uad_data.errors import InputError

SPLITS = ("train", "val", "test")


def split_by_subject(
    table: pd.DataFrame, *, fractions: Sequence[float] = (0.6, 0.15, 0.25), seed: int = 0
) -> pd.DataFrame:
    """Draw the split of every subject at random, stratified by pathology.

    Parameters
    ----------
    table : DataFrame
        One row per scan, with the columns ``subject`` and ``pathology``.
    fractions : sequence of three floats
        Share of the subjects in ``"train"``, ``"val"`` and ``"test"``, from 0 to 1, together 1.
    seed : int
        Seed of the draw; the same seed and subjects give the same split, whatever the order of the rows.

    Returns
    -------
    DataFrame
        A copy of the table with the column ``split``. All scans of a subject are in one set.

    Raises
    ------
    InputError
        The fractions are not three shares that add up to 1.

    Notes
    -----
    The shuffled subjects, one pathology after the other, are dealt one by one to the set that is furthest behind
    its share, so that both the whole and each pathology keep the shares to within about one subject.
    """
    shares = np.asarray(fractions, dtype=float)
    if shares.shape != (3,) or (shares < 0).any() or not np.isclose(shares.sum(), 1, atol=1e-6):
        raise InputError(f"fractions: expected three shares from 0 to 1 that add up to 1, found {list(fractions)}")
    subjects = _ordered(table, seed)
    split = dict(zip(subjects, _deal(len(subjects), shares), strict=True))
    return table.assign(split=table["subject"].map(split))


def fold_by_subject(
    table: pd.DataFrame, *, folds: int, validation: float = 0.2, seed: int = 0
) -> tuple[dict[str, str], ...]:
    """Deal the subjects into folds, stratified by pathology; each fold is the test set once.

    Parameters
    ----------
    table : DataFrame
        One row per scan or slice, with the columns ``subject`` and ``pathology``.
    folds : int
        How many, from 2 to the number of subjects.
    validation : float
        Share of the subjects outside the test fold that are validated on, above 0 and below 1.
    seed : int
        Seed of the draw; the same seed and subjects give the same folds, whatever the order of the rows.

    Returns
    -------
    tuple of dict of str to str
        For each fold, subject to ``"train"``, ``"val"`` or ``"test"``. Every subject is tested in exactly one.

    Raises
    ------
    InputError
        Folds or validation are out of range, or leave a set without a subject.

    Notes
    -----
    The shuffled subjects, one pathology after the other, are dealt to the folds in turn, so that the folds differ by
    at most one subject in the whole and in each pathology; those outside the test fold are dealt as in
    `split_by_subject`.
    """
    subjects = _ordered(table, seed)
    if not 2 <= folds <= len(subjects):
        raise InputError(f"folds: expected 2 to {len(subjects)}, the number of subjects; found {folds}")
    if not 0 < validation < 1:
        raise InputError(f"validation: expected a share above 0 and below 1, found {validation}")
    made = []
    for fold in range(folds):
        rest = [subject for place, subject in enumerate(subjects) if place % folds != fold]
        dealt = _deal(len(rest), np.array([1 - validation, validation, 0]))
        if len(set(dealt)) < 2:
            raise InputError(
                f"folds: {len(rest)} subjects outside fold {fold + 1} cannot be shared out to training and validation "
                f"({validation:g}); choose fewer folds or another share"
            )
        made.append(dict.fromkeys(subjects, "test") | dict(zip(rest, dealt, strict=True)))
    return tuple(made)


def _ordered(table: pd.DataFrame, seed: int) -> list[str]:
    """Shuffle the subjects within each pathology, one pathology after the other."""
    stratum = table.groupby("subject")["pathology"].agg(lambda names: "+".join(sorted(set(names))))
    shuffled = np.random.default_rng(seed).permutation(np.array(sorted(stratum.index), dtype=object))
    return sorted(shuffled, key=stratum.__getitem__)


def _deal(count: int, shares: np.ndarray) -> list[str]:
    """Deal so many places to the sets, each to the one furthest behind its share."""
    dealt = np.zeros(3)
    order = []
    for place in range(1, count + 1):
        choice = int(np.argmax(np.round(shares * place - dealt, 9)))
        dealt[choice] += 1
        order.append(SPLITS[choice])
    return order
