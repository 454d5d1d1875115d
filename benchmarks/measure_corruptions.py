"""Measure corruptions of a batch of 64 slices of 128x128 against a NumPy loop over the slices, and print a table.

Run ``python benchmarks/measure_corruptions.py --threads 1``. Both sides do the same work on the same batch: the same
distribution, a mask of what changed where there is one, the brain as limit. Their runs alternate, so that a busy
machine is busy for both; the table gives the least time, because other programs only add to it. The loop is NumPy as
one would write it plainly: a function of one slice, without a loop over its pixels, and a stack. Tuned by hand, to
compute what is common to all slices once and to touch only the box around a shape, it takes about half as long.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch

from uad_data.corruptions import CORRUPTIONS, coarse_noise, patch_swap, random_shapes

BATCH, SIDE = 64, 128
Array = np.ndarray


def numpy_coarse_noise(image: Array, brain: Array, rng: np.random.Generator) -> tuple[Array, ...]:
    """Noise of 16x16, enlarged bilinearly, rolled and added to ``image (c, h, w)``."""
    noise = rng.standard_normal((len(image), 16, 16), dtype=np.float32) * np.float32(0.2)
    place = np.clip((np.arange(SIDE, dtype=np.float32) + 0.5) * 16 / SIDE - 0.5, 0, 15)
    low = place.astype(int)
    high, share = np.minimum(low + 1, 15), place - low
    noise = noise[:, low] * (1 - share[:, None]) + noise[:, high] * share[:, None]
    noise = noise[..., low] * (1 - share) + noise[..., high] * share
    return (image + np.roll(noise, rng.integers(0, SIDE, 2), (1, 2)) * brain,)


def numpy_random_shapes(image: Array, brain: Array, rng: np.random.Generator) -> tuple[Array, ...]:
    """1 to 4 squares and circles of 15 to 40 pixels in ``image (c, h, w)``, and where they are."""
    image, mask = image.copy(), np.zeros_like(brain)
    rows, columns = np.ogrid[:SIDE, :SIDE]
    for _ in range(rng.integers(1, 5)):
        side = rng.integers(15, 41)
        top, left = np.rint(rng.normal((SIDE - 1) / 2, 0.15 * SIDE, 2) - (side - 1) / 2)
        y, x = rows - top - (side - 1) / 2, columns - left - (side - 1) / 2
        if rng.random() < 0.5:
            inside = y**2 + x**2 <= side**2 / 4
        else:
            inside = (abs(y) <= (side - 1) / 2) & (abs(x) <= (side - 1) / 2)
        inside = inside & brain[0]
        image[:, inside] = rng.random((len(image), 1), dtype=np.float32)
        mask[0] |= inside
    return image, mask


def numpy_patch_swap(image: Array, brain: Array, rng: np.random.Generator) -> tuple[Array, ...]:
    """Two patches of an eighth around brain voxels of ``image (c, h, w)`` swapped, and where."""
    swapped, mask, side = image.copy(), np.zeros_like(brain), SIDE // 8
    voxels = np.argwhere(brain[0])
    one = other = np.zeros(2, int)
    while np.abs(one - other).max() < side:
        one, other = np.clip(voxels[rng.integers(0, len(voxels), 2)] - side // 2, 0, SIDE - side)
    here = (slice(None), slice(one[0], one[0] + side), slice(one[1], one[1] + side))
    there = (slice(None), slice(other[0], other[0] + side), slice(other[1], other[1] + side))
    both = brain[here] & brain[there]
    swapped[here], swapped[there] = np.where(both, image[there], image[here]), np.where(both, image[here], image[there])
    mask[here] |= both
    mask[there] |= both
    return swapped, mask


def loop(corrupt: Callable[..., tuple[Array, ...]], *batch: Array, rng: np.random.Generator) -> list[Array]:
    """Corrupt slice by slice, and stack what comes back to a batch, as a data loader does."""
    return [np.stack(parts) for parts in zip(*(corrupt(*one, rng) for one in zip(*batch)))]  # noqa: B905


def alternate(first: Callable[[], object], second: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Return the least seconds of two functions run in turn, after a warm-up of both."""
    first()
    second()
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for times, function in zip(seconds, (first, second), strict=True):
            start = time.perf_counter()
            function()
            times.append(time.perf_counter() - start)
    return min(seconds[0]), min(seconds[1])


def main() -> None:
    """Print one row per corruption."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=30, help="runs of each side (default: %(default)s)")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rows, columns = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    brain = np.repeat(((rows / 55) ** 2 + (columns / 45) ** 2 < 1)[None, None], BATCH, axis=0)
    image = np.random.default_rng(0).random(brain.shape, np.float32) * brain
    batch, inside = torch.from_numpy(image), torch.from_numpy(brain)
    generator, rng = torch.Generator().manual_seed(0), np.random.default_rng(0)
    plain = {
        coarse_noise: numpy_coarse_noise,
        random_shapes: numpy_random_shapes,
        patch_swap: numpy_patch_swap,
    }
    print(f"Batch of {BATCH} slices of {SIDE}x{SIDE}, {arguments.threads} thread(s), least of {arguments.repeats}\n")
    print("| corruption | torch, batched (ms) | NumPy loop (ms) | times faster |\n|---|---:|---:|---:|")
    for corrupt, one in plain.items():
        ours, theirs = alternate(
            lambda corrupt=corrupt: corrupt(batch, inside, generator=generator),
            lambda one=one: loop(one, image, brain, rng=rng),
            arguments.repeats,
        )
        print(f"| {corrupt.__name__} | {1e3 * ours:.1f} | {1e3 * theirs:.1f} | {theirs / ours:.1f} |")
    for name in sorted(CORRUPTIONS.keys() - {corrupt.__name__ for corrupt in plain}):
        ours, _ = alternate(
            lambda name=name: CORRUPTIONS[name](batch, inside, generator=generator),
            lambda: None,
            arguments.repeats // 3,
        )
        print(f"| {name} | {1e3 * ours:.1f} | | |")


if __name__ == "__main__":
    main()
