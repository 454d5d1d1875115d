"""Prepared arrays on disk: made once per cohort and settings, memory-mapped ever after.

The format is open and needs no code of ours. A cache is a folder named by its digest that holds, with ``n`` rows, ``c``
channels and ``size`` = ``(h, w)`` or ``(d, h, w)``:

- ``image.npy``: ``(n, c, *size)`` float16 or float32, scaled intensities, 0 outside the brain;
- ``brain.npy``: ``(n, *size)`` bool;
- ``lesion.npy``: ``(n, *size)`` uint8, 0 healthy, 1.. classes; all 0 where a scan has no annotation;
- ``index.csv``: one line per row: ``scan`` (its row in the cohort), ``subject``, ``session``, ``split``, ``pathology``,
  ``slice`` (along ``d``; −1 for a volume), ``brain_voxels`` and ``lesion_voxels`` (on the scan's own grid; −1 without
  annotation) and ``pixel_mm`` (edge of a pixel in mm);
- ``frames.json``: per scan its own ``shape`` ``(d, h, w)`` and, for each axis of the frame, ``centre`` (a native voxel)
  and ``step`` (native voxels per pixel): pixel ``o`` shows native coordinate ``centre + step * (o - (size - 1) / 2)``;
- ``settings.json``: ``format`` (the version of this list), ``digest``, ``spec`` (the fields of `ArraySpec`) and
  ``recipe`` (what ``uad-data prepare`` did to the scans before, or null).

The digest is a SHA-256 over the format version, the spec and the cohort's rows with the sizes and times of their files:
what changes the arrays changes the folder. A folder appears whole, by a rename, or not at all.
"""

import errno
import hashlib
import json
import multiprocessing
import shutil
import time
import uuid
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from tqdm import tqdm

from uad_data.cohort import Cohort
from uad_data.errors import InputError
from uad_data.frame import Frame
from uad_data.growing_array import growing_array
from uad_data.prepare import ArraySpec, PreparedScan, prepare_scan, relative_height, to_native
from uad_data.split import SPLITS

__all__ = ["ARRAY_FORMAT", "ArraySpec", "ArrayStore", "PreparedScan", "build_arrays", "prepare_scan"]

# Raise it whenever the files or the numbers in them change: how brains are found, scaled, framed.
ARRAY_FORMAT = 2
_NAMES = ("image", "brain", "lesion")
_TEXT = ("subject", "session", "split", "pathology")
_ABANDONED_S = 3600.0


@dataclass(frozen=True, eq=False)
class ArrayStore:
    """The arrays of a cohort, memory-mapped; opened by `open` or `build_arrays`.

    Parameters
    ----------
    folder : Path
        Where it stands.
    spec : ArraySpec
        How it was made.
    digest : str
        Its key.
    image : numpy.ndarray
        ``(n, c, *size)`` float16 or float32, memory-mapped, read-only; 0 outside the brain.
    brain : numpy.ndarray
        ``(n, *size)`` bool, memory-mapped, read-only.
    lesion : numpy.ndarray
        ``(n, *size)`` uint8, memory-mapped, read-only; all 0 where ``index.lesion_voxels`` is −1 (not annotated).
    index : pandas.DataFrame
        One row per item: scan, subject, session, split, pathology, slice, brain_voxels, lesion_voxels, pixel_mm.
    recipe : dict or None
        What the scans were prepared by, see `uad_data.preparation`; None for scans taken as they were.
    split : dict of str to str or None
        Subject to split, where `with_split` has put another in place of the cohort's own.
    """

    folder: Path
    spec: ArraySpec
    digest: str
    image: np.ndarray = field(repr=False)
    brain: np.ndarray = field(repr=False)
    lesion: np.ndarray = field(repr=False)
    index: pd.DataFrame = field(repr=False)
    recipe: dict[str, Any] | None = field(default=None, repr=False)
    split: dict[str, str] | None = field(default=None, repr=False)

    @classmethod
    def open(cls, folder: str | Path) -> Self:
        """Open a finished cache.

        Parameters
        ----------
        folder : str or Path
            A folder that `build_arrays` made.

        Returns
        -------
        ArrayStore
            The arrays, none of them read yet.

        Raises
        ------
        InputError
            The folder is missing or damaged, or is of another format version.
        """
        folder = Path(folder)
        try:
            settings = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
            if settings["format"] != ARRAY_FORMAT:
                age = "a newer" if settings["format"] > ARRAY_FORMAT else "an older"
                raise InputError(
                    f"array cache {folder}: expected format {ARRAY_FORMAT}, found {settings['format']}, written by "
                    f"{age} uad-data. Install that version, or let this one build a new cache."
                )
            arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in _NAMES}
            index = pd.read_csv(folder / "index.csv", dtype=dict.fromkeys(_TEXT, str), keep_default_na=False)
            if any(len(array) != len(index) for array in arrays.values()):
                raise ValueError(f"index.csv has {len(index)} rows and the arrays have another number")
            spec = ArraySpec.from_dict(settings["spec"])
        except (OSError, ValueError, KeyError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                f"array cache {folder} cannot be read: {error}. Delete the folder and build it again."
            ) from error
        return cls(
            folder=folder,
            spec=spec,
            digest=settings["digest"],
            index=index,
            recipe=settings["recipe"],
            **arrays,
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel to another process as a path: the maps are opened there, not copied."""
        if self.split is None:
            return type(self).open, (self.folder,)
        return _reopen, (self.folder, self.split)

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.index)

    def with_split(self, split: Mapping[str, str]) -> Self:
        """Return a view on the same arrays with another split, such as a fold of `uad_data.split.fold_by_subject`.

        Parameters
        ----------
        split : mapping of str to str
            Subject to ``"train"``, ``"val"`` or ``"test"``, for every subject.

        Returns
        -------
        ArrayStore
            No array is copied. Its digest is one of its own, so that no run trained on another split passes for one
            trained on this.

        Raises
        ------
        InputError
            A subject has no split, or one that does not exist.
        """
        subjects = sorted(set(self.index["subject"]))
        named = {subject: split.get(subject, "") for subject in subjects}
        for subject, name in named.items():
            if name not in SPLITS:
                raise InputError(f"split of subject {subject!r}: expected one of {', '.join(SPLITS)}; found {name!r}.")
        own = self if self.split is None else type(self).open(self.folder)
        key = json.dumps([own.digest, named], sort_keys=True)
        return replace(
            self,
            index=self.index.assign(split=self.index["subject"].map(named)),
            digest=hashlib.sha256(key.encode()).hexdigest()[:32],
            split=named,
        )

    def rows(self, split: str) -> np.ndarray:
        """Rows of a split, annotated or not.

        Parameters
        ----------
        split : {"train", "val", "test", ""}
            The split; ``""`` is what was given none.

        Returns
        -------
        numpy.ndarray
            ``(n,)`` int, ascending; empty where the split has none.

        Raises
        ------
        InputError
            The split is unknown.
        """
        if split not in ("", *SPLITS):
            raise InputError(f"split {split!r} is unknown: expected one of {', '.join(SPLITS)}.")
        return np.flatnonzero(self.index["split"].to_numpy() == split)

    def healthy_rows(self, split: str) -> np.ndarray:
        """Rows of a split that are annotated and show no lesion: what a method learns from.

        Parameters
        ----------
        split : {"train", "val", "test", ""}
            The split; ``""`` is what was given none.

        Returns
        -------
        numpy.ndarray
            ``(n,)`` int, ascending, at least one.

        Raises
        ------
        InputError
            The split is unknown or has no healthy slice.
        """
        rows = self.rows(split)
        lesion = self.index["lesion_voxels"].to_numpy()[rows]
        if not (lesion == 0).any():
            item = "slice" if len(self.spec.size) == 2 else "volume"
            raise InputError(
                f"split {split!r} has no healthy {item}: of {rows.size} rows, {np.count_nonzero(lesion > 0)} have a "
                f"lesion and {np.count_nonzero(lesion < 0)} have no annotation. Add healthy scans, widen the slice "
                f"rule ({self.spec.slices}), or where scans without annotation are healthy say so: pathology 'healthy' "
                "in cohort.csv, 'uad-data index --pathology healthy'."
            )
        return rows[lesion == 0]

    def batch(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Read a batch in one go.

        Parameters
        ----------
        rows : numpy.ndarray
            ``(b,)`` int, any order, repeats allowed. The file is read in ascending order.

        Returns
        -------
        dict
            ``image`` ``(b, c, *size)`` float32 and ``brain`` ``(b, 1, *size)`` bool, in the order of `rows`.
        """
        ascending, place = np.unique(rows, return_inverse=True)
        image = self.image[ascending].astype(np.float32)
        return {"image": image[place], "brain": self.brain[ascending][place][:, None]}

    @cached_property
    def height(self) -> np.ndarray:
        """``(n,)`` float32: how high each row lies in its scan's own grid, see `uad_data.prepare.relative_height`."""
        depths = {int(scan): frame["shape"][0] for scan, frame in self._frames().items()}
        return relative_height(self.index["slice"].to_numpy(), self.index["scan"].map(depths).to_numpy())

    def to_native(self, scan: int, maps: np.ndarray) -> np.ndarray:
        """Take the maps of one scan back to its own grid.

        Parameters
        ----------
        scan : int
            The scan's row in the cohort, as in ``index.scan``.
        maps : numpy.ndarray
            ``(n, *size)``, one per row of the scan, in the order of the index; float for maps (linear), bool or integer
            for masks (nearest neighbour).

        Returns
        -------
        numpy.ndarray
            ``(d, h, w)``, 0 in slices that were not selected and outside the frame.

        Raises
        ------
        InputError
            The shape of `maps` is not that of the scan's rows.
        """
        way = self._frames()[str(scan)]
        shape = tuple(way["shape"])
        size = self.spec.size
        frame = Frame(native=shape[-len(size) :], size=size, centre=tuple(way["centre"]), step=tuple(way["step"]))
        slices = self.index["slice"].to_numpy()[self.index["scan"].to_numpy() == scan]
        return to_native(maps, frame=frame, slice_index=slices, shape=shape)

    def _frames(self) -> dict[str, Any]:
        """Read ``frames.json``."""
        return json.loads((self.folder / "frames.json").read_text(encoding="utf-8"))


def _reopen(folder: Path, split: Mapping[str, str]) -> ArrayStore:
    """Open a store with another split."""
    return ArrayStore.open(folder).with_split(split)


def build_arrays(
    cohort: Cohort, spec: ArraySpec, *, cache: str | Path, progress: bool = True, workers: int = 1
) -> ArrayStore:
    """Prepare every scan of a cohort, or open what was prepared before.

    Scans are streamed: memory holds a few of them at a time, the disk holds the arrays once. Several processes may
    build the same cache at once; the first to finish gives it to all.

    Parameters
    ----------
    cohort : Cohort
        The scans, in order.
    spec : ArraySpec
        What to make of them.
    cache : str or Path
        Folder of caches; the arrays go to ``<cache>/<digest>``. Made when missing.
    progress : bool, default: True
        Show a progress bar.
    workers : int, default: 1
        Processes that prepare scans. The arrays are the same bits for any number.

    Returns
    -------
    ArrayStore
        The arrays, memory-mapped.

    Raises
    ------
    InputError
        A scan cannot be read or prepared (the message names it), or the disk is full.
    """
    digest = _digest(cohort, spec)
    cache = Path(cache)
    folder = cache / digest
    if folder.is_dir():
        return ArrayStore.open(folder)
    temporary = cache / f".{digest}-{uuid.uuid4().hex[:8]}"
    try:
        temporary.mkdir(parents=True)
        _remove_abandoned(cache, digest)
        _write(temporary, cohort, spec, digest, progress=progress, workers=workers)
        _publish(temporary, folder)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise InputError(
            f"the disk is full: the array cache of {len(cohort)} scans does not fit into {cache}. What was written is "
            "removed again. Free some space or choose another cache folder."
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return ArrayStore.open(folder)


def _digest(cohort: Cohort, spec: ArraySpec) -> str:
    """Key of the arrays."""
    key = {"format": ARRAY_FORMAT, "spec": spec.to_dict(), "cohort": cohort.digest(spec.modalities)}
    if cohort.recipe:
        key["recipe"] = cohort.recipe
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:32]


def _remove_abandoned(cache: Path, digest: str) -> None:
    """Remove what killed builds of this cache left: nothing was written there for an hour."""
    for left in cache.glob(f".{digest}-*"):
        latest = max((path.stat().st_mtime for path in [left, *left.iterdir()]), default=0.0)
        if time.time() - latest > _ABANDONED_S:
            shutil.rmtree(left, ignore_errors=True)


def _write(folder: Path, cohort: Cohort, spec: ArraySpec, digest: str, *, progress: bool, workers: int) -> None:
    """Prepare the scans one after the other into the files of `folder`."""
    index: list[pd.DataFrame] = []
    frames: dict[str, dict[str, Any]] = {}
    with ExitStack() as stack:
        add_image, add_brain, add_lesion = (
            stack.enter_context(growing_array(folder / f"{name}.npy", item_shape, dtype))
            for name, item_shape, dtype in (
                ("image", (len(spec.modalities), *spec.size), spec.dtype),
                ("brain", spec.size, "bool"),
                ("lesion", spec.size, "uint8"),
            )
        )
        scans = _prepared(cohort, spec, workers)
        bar = tqdm(scans, total=len(cohort), desc="preparing scans", unit="scan", disable=not progress)
        for row, scan in enumerate(bar):
            add_image(scan.image)
            add_brain(scan.brain)
            add_lesion(np.zeros(scan.brain.shape, np.uint8) if scan.lesion is None else scan.lesion)
            index.append(_index_rows(cohort, row, scan))
            frames[str(row)] = {"shape": scan.shape, "centre": scan.frame.centre, "step": scan.frame.step}
    pd.concat(index, ignore_index=True).to_csv(folder / "index.csv", index=False)
    settings = {"format": ARRAY_FORMAT, "digest": digest, "spec": spec.to_dict(), "recipe": cohort.recipe}
    for name, content in (("frames.json", frames), ("settings.json", settings)):
        (folder / name).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _prepared(cohort: Cohort, spec: ArraySpec, workers: int) -> Iterator[PreparedScan]:
    """Prepare the scans in the cohort's order, with at most twice as many at hand as there are workers."""
    if workers == 1:
        yield from (_prepare_row(cohort, spec, row) for row in range(len(cohort)))
        return
    # A forked copy of a process that runs threads can hang; a spawned one cannot.
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        waiting: deque[Future[PreparedScan]] = deque()
        for row in range(len(cohort)):
            waiting.append(pool.submit(_prepare_row, cohort, spec, row))
            if len(waiting) == 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _prepare_row(cohort: Cohort, spec: ArraySpec, row: int) -> PreparedScan:
    """Load and prepare one scan of the cohort."""
    return prepare_scan(cohort.load(row, modalities=spec.modalities), spec)


def _index_rows(cohort: Cohort, row: int, scan: PreparedScan) -> pd.DataFrame:
    """Lines of the index for the items of one scan."""
    known = {name: cohort.table[name].iloc[row] for name in _TEXT}
    return pd.DataFrame(
        {
            "scan": np.full(len(scan.slice_index), row),
            **known,
            "slice": scan.slice_index,
            "brain_voxels": scan.brain_voxels,
            "lesion_voxels": scan.lesion_voxels,
            "pixel_mm": scan.pixel_mm,
        }
    )


def _publish(temporary: Path, folder: Path) -> None:
    """Give the finished folder its name, unless another process was first."""
    try:
        temporary.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
