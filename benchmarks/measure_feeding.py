"""Time an epoch of batches of 32 slices: from the cache, from ``.nii.gz`` files, from MONAI; print the table.

Run ``pip install -r benchmarks/requirements.txt`` and ``python benchmarks/measure_feeding.py``. A small phantom cohort
is made in a temporary folder. All ways give the FLAIR slices as float32 and the brain as bool, shuffled, on the CPU,
and take turns; the median over rounds counts. The ways:

- the cache: `uad_models.feeding.Feeder` over the memory-mapped arrays, in this process, stored as float16 and
  widened on reading (the default), or as float32;
- nibabel: each slice decoded from its ``.nii.gz``, in the scan's own size (the resizing is not even counted);
- MONAI's ``CacheDataset`` and ``DataLoader`` over the same prepared slices, held in memory, as the ``MetaTensor`` that
  its ``LoadImage`` makes, and as plain tensors;
- a plain copy in memory of the same bytes, a batch at a time: no way that gives fresh tensors can be faster;
- nnU-Net's augmentation on top of the cache, in this process and with workers that have started before. Nothing is
  trained meanwhile: a worker's gain in training is that it augments while the model learns.
"""

import argparse
import itertools
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import torch

from uad_data.arrays import ArraySpec, ArrayStore, build_arrays
from uad_data.cohort import Cohort
from uad_data.phantom.cohort import write_phantom
from uad_models.feeding import Batch, Feeder

BATCH = 32
CACHE = "cache (`Feeder`)"
Epoch = Callable[[], None]


def from_cache(feeder: Feeder, batches: int) -> Epoch:
    numbers = itertools.count()

    def epoch() -> None:
        for number in itertools.islice(numbers, batches):
            feeder.batch(number)

    return epoch


def from_files(cohort: Cohort, store: ArrayStore, batches: int) -> None:
    rows = np.random.default_rng(0).permutation(len(store))
    for k in range(batches):
        for row in rows[k * BATCH : (k + 1) * BATCH]:
            item = store.index.iloc[row]
            scan = cohort.table.iloc[item["scan"]]
            for name, kind in (("image_flair", np.float32), ("brain", bool)):
                file = nib.load(cohort.root / scan[name])
                np.asarray(file.dataobj[..., item["slice"]]).astype(kind)


def monai_loader(store: ArrayStore, *, meta: bool) -> Epoch:
    from monai.data import CacheDataset, DataLoader
    from monai.transforms import EnsureTyped

    items: list[Batch] = [
        {"image": image.astype(np.float32), "brain": brain[None]}
        for image, brain in zip(store.image, store.brain, strict=True)
    ]
    data = CacheDataset(items, EnsureTyped(["image", "brain"], track_meta=meta), progress=False)
    loader = DataLoader(data, batch_size=BATCH, shuffle=True)

    def epoch() -> None:
        for batch in loader:
            assert batch["image"].dtype == torch.float32

    return epoch


def copy_limit(store: ArrayStore, batches: int) -> Epoch:
    image = torch.from_numpy(store.image[: batches * BATCH].astype(np.float32)).split(BATCH)
    brain = torch.from_numpy(store.brain[: batches * BATCH].copy()).split(BATCH)

    def epoch() -> None:
        for x, y in zip(image, brain, strict=True):
            x.clone(), y.clone()

    return epoch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--subjects", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=7)
    chosen = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        cohort = write_phantom(Path(folder) / "phantom", subjects=chosen.subjects, seed=0)
        half, full = (
            build_arrays(cohort, ArraySpec(dtype=dtype), cache=Path(folder) / "cache", progress=False)
            for dtype in ("float16", "float32")
        )
        measure(cohort, half, full, rounds=chosen.rounds)


def measure(cohort: Cohort, store: ArrayStore, full: ArrayStore, *, rounds: int) -> None:
    """Time all ways and print the table."""
    batches = len(store) // BATCH
    rows = np.arange(batches * BATCH)
    feeder = partial(Feeder, store, rows, batch_size=BATCH)
    ways: dict[str, Epoch] = {
        CACHE: from_cache(feeder(), batches),
        "cache stored as float32": from_cache(Feeder(full, rows, batch_size=BATCH), batches),
        "MONAI `CacheDataset` + `DataLoader`": monai_loader(store, meta=True),
        "MONAI, without metadata": monai_loader(store, meta=False),
        "plain copy of the same bytes": copy_limit(store, batches),
    }
    seconds = in_turns(ways, rounds=5 * rounds)
    seconds |= in_turns({"nibabel, `.nii.gz` per slice": partial(from_files, cohort, store, batches)}, rounds=2)
    # Not in turns with the others: the workers would be filling their queues meanwhile.
    for workers in (0, 1, 2):
        with closing(feeder(augmentation="nnunet", workers=workers)) as augmented:
            name = f"cache, nnU-Net augmentation, {workers} workers"
            seconds |= in_turns({name: from_cache(augmented, batches)}, rounds=rounds)
    print(f"{batches} batches of {BATCH} slices of {store.spec.size}, one thread\n")
    print("| way | ms per epoch | ms per batch | times the cache |\n|---|---:|---:|---:|")
    for name, value in seconds.items():
        print(f"| {name} | {1e3 * value:.1f} | {1e3 * value / batches:.2f} | {value / seconds[CACHE]:.1f} |")


def in_turns(ways: dict[str, Epoch], *, rounds: int) -> dict[str, float]:
    """Median time of each, in seconds; the first round warms up."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for round_ in range(rounds + 1):
        for name, epoch in ways.items():
            start = time.perf_counter()
            epoch()
            if round_:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


if __name__ == "__main__":
    main()
