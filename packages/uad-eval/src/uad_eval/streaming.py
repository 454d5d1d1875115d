"""Exact average precision, AUROC and ⌈Dice⌉ over any number of voxels in bounded memory.

Scores are taken in as they come. Each time a buffer is full its lesion and its healthy scores are sorted and written to
a temporary file, 4 bytes a float32 voxel. At the end the sorted runs are merged piece by piece from the highest score
down: cut points are drawn from the runs so that no piece holds more than about a buffer, and the voxels tied at a cut
point are counted, not read. Nothing is binned or rounded, and ties are entered together, as in
:class:`uad_eval.ranking.Ranking`, which counts each piece.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from uad_eval.errors import InputError
from uad_eval.ranking import Ranking, sorted_scores

BUFFER_VOXELS = 2**24


class RankedFigures(NamedTuple):
    """Ranking metrics of all voxels taken in.

    Attributes
    ----------
    average_precision, auroc, best_dice, threshold : float
        As :mod:`uad_eval.metrics`, NaN in the same cases; ⌈Dice⌉ is reached strictly above the threshold.
    lesion, healthy : int
        Voxels of either kind.
    """

    average_precision: float
    auroc: float
    best_dice: float
    threshold: float
    lesion: int
    healthy: int


class StreamedRanking:
    """Take in scores and truth piece by piece and rank them all together.

    Parameters
    ----------
    buffer_voxels : int
        Voxels held at a time; memory is about 16 bytes each. Where there are no more, nothing is written.
    dtype : {float32, float64}
        Of the scores; one that does not hold the scores given exactly is refused.
    folder : path, optional
        Where the temporary file lies; the system's place for them otherwise.

    Notes
    -----
    Use it in a ``with`` statement, which removes the temporary file.
    """

    def __init__(
        self,
        *,
        buffer_voxels: int = BUFFER_VOXELS,
        dtype: DTypeLike = np.float32,
        folder: str | Path | None = None,
    ) -> None:
        if buffer_voxels < 1:
            raise InputError(f"buffer_voxels: expected 1 or more, found {buffer_voxels}")
        self.dtype = np.dtype(dtype)
        self._buffer_voxels = buffer_voxels
        self._held: list[tuple[NDArray, NDArray]] = []
        self._held_voxels = 0
        self._runs: list[tuple[int, int, int]] = []  # offset in values, lesion voxels, healthy voxels
        self._written = 0
        self._file = tempfile.NamedTemporaryFile(dir=folder, prefix="uad-eval-", suffix=".scores")  # noqa: SIM115

    def __enter__(self) -> "StreamedRanking":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove the temporary file and let go of the voxels."""
        self._held = []
        self._file.close()

    def add(self, scores: ArrayLike, truth: ArrayLike) -> None:
        """Take in voxels.

        Parameters
        ----------
        scores : array_like, any shape
            Higher is more anomalous. May be memory-mapped.
        truth : array_like, same shape
            Non-zero is lesion.

        Raises
        ------
        InputError
            Shapes differ, a score is NaN or infinite, or ``dtype`` does not hold the scores.
        """
        scores, truth = np.asanyarray(scores), np.asanyarray(truth)
        if scores.shape != truth.shape:
            raise InputError(f"scores and truth must have one shape, found {scores.shape} and {truth.shape}")
        if not np.can_cast(scores.dtype, self.dtype, "safe"):
            raise InputError(
                f"scores: {scores.dtype} does not fit into {self.dtype} exactly; stream with another dtype"
            )
        scores, truth = scores.reshape(-1), truth.reshape(-1)
        start = 0
        while start < scores.size:
            stop = start + self._buffer_voxels - self._held_voxels
            part = scores[start:stop].astype(self.dtype, copy=False)
            self._held.append(sorted_scores(part, truth[start:stop]))
            self._held_voxels += part.size
            if self._held_voxels == self._buffer_voxels:
                self._spill()
            start = stop

    def figures(self) -> RankedFigures:
        """Rank all voxels taken in so far; more may be added afterwards."""
        if not self._runs:
            ranking = Ranking.of_sorted(*self._merged())
            best, threshold = ranking.best_dice()
            return RankedFigures(
                ranking.average_precision(), ranking.auroc(), best, threshold, ranking.lesion, ranking.healthy
            )
        if self._held_voxels:
            self._spill()
        self._file.flush()
        lesion, healthy = (sum(run[kind] for run in self._runs) for kind in (1, 2))
        sums = _Sums(lesion, healthy)
        for piece in self._pieces():
            sums.enter(piece)
        return sums.figures()

    def _merged(self) -> tuple[NDArray, NDArray]:
        """Rising scores held in memory, of lesion and of healthy voxels."""
        if not self._held:
            return np.zeros(0, self.dtype), np.zeros(0, self.dtype)
        kinds = [np.concatenate(kind) for kind in zip(*self._held, strict=True)]
        for kind in kinds:
            kind.sort()
        return kinds[0], kinds[1]

    def _spill(self) -> None:
        """Write what is held as one run."""
        lesion, healthy = self._merged()
        self._held, self._held_voxels = [], 0
        try:
            for kind in (lesion, healthy):
                kind.tofile(self._file)
        except OSError as error:
            raise InputError(f"{self._file.name}: cannot be written ({error}); make room or name a folder") from error
        self._runs.append((self._written, lesion.size, healthy.size))
        self._written += lesion.size + healthy.size

    def _pieces(self) -> Iterator[Ranking]:
        """Rank the runs piece by piece, from the highest scores down."""
        values = np.memmap(self._file.name, dtype=self.dtype, mode="r")
        lesion = [values[at : at + ill] for at, ill, _ in self._runs]
        healthy = [values[at + ill : at + ill + well] for at, ill, well in self._runs]
        every = max(self._buffer_voxels // (4 * len(self._runs)), 1)
        sample = np.sort(np.concatenate([run[every // 2 :: every] for run in (*lesion, *healthy)]))
        cuts = np.unique(sample[:: max(self._buffer_voxels // (2 * every), 1)])
        low = [[np.searchsorted(run, cuts, side="left") for run in kind] for kind in (lesion, healthy)]
        high = [[np.searchsorted(run, cuts, side="right") for run in kind] for kind in (lesion, healthy)]
        for cut in range(cuts.size, -1, -1):
            between = []
            for kind, runs in enumerate((lesion, healthy)):
                parts = [
                    run[(high[kind][r][cut - 1] if cut else 0) : (low[kind][r][cut] if cut < cuts.size else run.size)]
                    for r, run in enumerate(runs)
                ]
                between.append(np.sort(np.concatenate(parts)))
            yield Ranking.of_sorted(between[0], between[1])
            if cut:
                tied = [
                    int(sum(h[cut - 1] - w[cut - 1] for h, w in zip(high[kind], low[kind], strict=True)))
                    for kind in (0, 1)
                ]
                yield _tie(cuts[cut - 1 : cut], *tied)


class _Sums:
    """Running sums of the ranking metrics over pieces of falling scores."""

    def __init__(self, lesion: int, healthy: int) -> None:
        self.lesion, self.healthy = lesion, healthy
        self.hits = self.alarms = 0
        self.precision = self.order = 0.0
        self.best, self.threshold = -1.0, float("nan")

    def enter(self, piece: Ranking) -> None:
        """Add one piece, all of whose scores lie below those before."""
        if piece.lesion:
            hits, alarms = piece.hits + self.hits, piece.false_alarms + self.alarms
            steps = np.diff(piece.hits, prepend=0)
            self.precision += float((steps * (hits / (hits + alarms))).sum())
            above = self.alarms + 0.5 * (piece.false_above + piece.false_alarms)
            self.order += float((steps * (self.healthy - above)).sum())
            dice = 2 * hits / (self.lesion + hits + alarms)
            best = int(np.argmax(dice))
            if dice[best] > self.best:
                self.best = float(dice[best])
                self.threshold = float(np.nextafter(piece.scores[best], piece.scores.dtype.type(-np.inf)))
        self.hits += piece.lesion
        self.alarms += piece.healthy

    def figures(self) -> RankedFigures:
        """Divide by the numbers of voxels; NaN where a kind is missing."""
        nan = float("nan")
        area = self.order / (self.lesion * self.healthy) if self.lesion and self.healthy else nan
        if not self.lesion:
            return RankedFigures(nan, area, nan, nan, self.lesion, self.healthy)
        return RankedFigures(self.precision / self.lesion, area, self.best, self.threshold, self.lesion, self.healthy)


def _tie(score: NDArray, lesion: int, healthy: int) -> Ranking:
    """Ranking of voxels that all have one score (1,)."""
    entered = 1 if lesion else 0
    return Ranking(
        scores=score[:entered],
        hits=np.full(entered, lesion, np.int64),
        false_above=np.zeros(entered, np.int64),
        false_alarms=np.full(entered, healthy, np.int64),
        lesion=lesion,
        healthy=healthy,
    )
