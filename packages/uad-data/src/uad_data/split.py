"""Training, validation and test sets, drawn by subject."""

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
    stratum = table.groupby("subject")["pathology"].agg(lambda names: "+".join(sorted(set(names))))
    shuffled = np.random.default_rng(seed).permutation(np.array(sorted(stratum.index), dtype=object))
    subjects = sorted(shuffled, key=stratum.__getitem__)
    split = dict(zip(subjects, _deal(len(subjects), shares), strict=True))
    return table.assign(split=table["subject"].map(split))


def _deal(count: int, shares: np.ndarray) -> list[str]:
    """Deal so many places to the sets, each to the one furthest behind its share."""
    dealt = np.zeros(3)
    order = []
    for place in range(1, count + 1):
        choice = int(np.argmax(np.round(shares * place - dealt, 9)))
        dealt[choice] += 1
        order.append(SPLITS[choice])
    return order
