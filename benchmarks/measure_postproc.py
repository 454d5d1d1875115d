"""Measure post-processing against its peers on a map of 160 x 192 x 75 voxels: time and Dice; print two tables.

Run ``python benchmarks/measure_postproc.py`` (a minute or two, one thread). The map is made up: an ellipsoid of brain
that fills half of the array, in it the absolute value of noise, and an ellipsoid of lesion of 2 % of the brain, 2.5
standard deviations of the noise brighter. Every peer gets the voxels of the brain only. Times are processor seconds,
the best of the runs, so that other work on the machine counts little; a ratio is the first row's time over the row's.

Mixtures have three components. scikit-learn's is run as it comes, started by its own k-means and predicting
probabilities, and from this project's start; both stop at the same tolerance as plain EM here. The field is another
model: it has no peer in scikit-learn and is listed for what it costs and gains.
"""

import argparse
import os
import time
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from scipy import ndimage
from sklearn.mixture import GaussianMixture as Peer

from uad_postproc import Context
from uad_postproc.mixture import histogram, initial_mixture
from uad_postproc.steps import GaussianMixture, SmallObjectRemoval
from uad_postproc.steps.components import label

SHAPE = (160, 192, 75)
NOISE, CONTRAST = 0.1, 0.25
LEAST = 10  # voxels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3, help="of each; the best counts")
    runs = parser.parse_args().runs
    maps, context, lesion = made_up_map()
    print(f"{' x '.join(map(str, SHAPE))} voxels, {context.brain.sum():,} of them brain; processor seconds, one thread")
    mixtures(maps, context, lesion, runs)
    components(maps, context, runs)


def mixtures(maps: np.ndarray, context: Context, lesion: np.ndarray, runs: int) -> None:
    """Print the table of mixtures."""
    brain = context.brain
    values = maps[brain][:, None]
    start = initial_mixture(histogram(values.ravel()), 3)
    given = {
        "weights_init": start.weights,
        "means_init": start.means[:, None],
        "precisions_init": 1 / start.variances[:, None, None],
    }

    def peer(**settings: np.ndarray) -> np.ndarray:
        model = Peer(3, random_state=0, **settings).fit(values)
        out = np.zeros(maps.shape)
        out[brain] = model.predict_proba(values)[:, model.means_.argmax()]
        return out

    rows: dict[str, Callable[[], np.ndarray]] = {
        "scikit-learn, as it comes": peer,
        "scikit-learn, from this start": lambda: peer(**given),
        "plain EM here": lambda: GaussianMixture(neighbour_weight=0).apply(maps, context),
        "with neighbours here": lambda: GaussianMixture().apply(maps, context),
    }
    print("\n| mixture of three Gaussians | seconds | times faster | Dice at 0.5 |\n|---|---:|---:|---:|")
    first = None
    for name, call in rows.items():
        seconds, probability = timed(call, runs)
        first = first or seconds
        print(f"| {name} | {seconds:.3f} | {first / seconds:.1f} | {dice(probability > 0.5, lesion):.2f} |", flush=True)


def components(maps: np.ndarray, context: Context, runs: int) -> None:
    """Print the table of components, for masks of specks and of larger regions."""
    smooth = ndimage.gaussian_filter(maps, (0, 1, 1, 1))
    specks, regions = (x > np.quantile(x[context.brain], 0.97) for x in (maps, smooth))
    structure = np.ones((3, 3, 3), bool)

    def scipy_removal(mask: np.ndarray) -> np.ndarray:
        labels, count = ndimage.label(mask[0], structure)
        sizes = ndimage.sum(mask[0], labels, np.arange(count + 1))
        return (sizes >= LEAST)[labels]

    print("\n| components | mask | SciPy, s | here, s | times faster |\n|---|---|---:|---:|---:|")
    for name, mask in (("specks", specks), ("regions", regions)):
        mask = mask & context.brain
        tasks = {
            "label": (lambda m=mask: ndimage.label(m[0], structure)[0], lambda m=mask: label(m[0])),
            f"remove below {LEAST} voxels": (
                lambda m=mask: scipy_removal(m),
                lambda m=mask: SmallObjectRemoval(min_voxels=LEAST).apply(m, context)[0],
            ),
        }
        for task, (theirs, ours) in tasks.items():
            (slow, expected), (fast, found) = timed(theirs, runs), timed(ours, runs)
            same = np.array_equal(expected != 0, found != 0) and expected.max() == found.max()
            agree = "" if same else " (results differ!)"
            text = f"{name}, {ndimage.label(mask[0], structure)[1]:,} components"
            print(f"| {task} | {text} | {slow:.3f} | {fast:.3f} | {slow / fast:.1f}{agree} |", flush=True)


def made_up_map() -> tuple[np.ndarray, Context, np.ndarray]:
    """Make the map (1, d, h, w), its context and its lesion."""
    axes = np.meshgrid(*(np.linspace(-1.02, 1.02, side) for side in SHAPE), indexing="ij")
    brain = sum(axis**2 for axis in axes) < 1
    places = zip(axes, (0.3, -0.2, 0.1), (0.25, 0.3, 0.3), strict=True)
    lesion = sum(((axis - centre) / radius) ** 2 for axis, centre, radius in places) < 1
    noise = NOISE * np.random.default_rng(0).standard_normal(SHAPE)
    maps = (np.abs(noise + CONTRAST * lesion) * brain).astype(np.float32)
    return maps[None], Context(brain[None]), lesion[None]


def timed(call: Callable[[], np.ndarray], runs: int) -> tuple[float, np.ndarray]:
    """Least processor time of the runs, and what the last one returned."""
    seconds = []
    for _ in range(runs):
        start = time.process_time()
        result = call()
        seconds.append(time.process_time() - start)
    return min(seconds), result


def dice(mask: np.ndarray, lesion: np.ndarray) -> float:
    """Overlap of two masks."""
    return 2 * (mask & lesion).sum() / (mask.sum() + lesion.sum())


if __name__ == "__main__":
    main()
