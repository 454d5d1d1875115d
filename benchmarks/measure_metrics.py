"""Measure the metrics and statistics of `uad-eval`: exactness, speed, memory, peers, and simulations of its statistics.

Run ``python benchmarks/measure_metrics.py`` for all parts, or name some of ``exact``, ``memory``, ``peers``,
``coverage``, ``errors``. Each prints a table for ``docs/metrics.md``. Peers (MedPy, MONAI, ``surface-distance``) serve
where they are installed and are said to be absent otherwise. ``memory`` writes 0.6 GB to the system's temporary folder.
"""

import argparse
import importlib.util
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from uad_eval import StreamedRanking
from uad_eval.bootstrap import interval, ranking_draws, ratio_draws, subject_weights
from uad_eval.ranking import Ranking, sorted_scores

PREVALENCE = 0.05
CHUNK = 2_500_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=list(PARTS), metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--voxels", type=int, default=150_000_000, help="of the part memory")
    parser.add_argument("--studies", type=int, default=1000, help="simulated, of the parts coverage and errors")
    chosen = parser.parse_args()
    unknown = [part for part in chosen.parts if part not in PARTS]
    if unknown:
        parser.error(f"unknown part {unknown[0]}; expected {', '.join(PARTS)}")
    for part in chosen.parts:
        PARTS[part](chosen)


def exact(_: argparse.Namespace) -> None:
    """Compare AP and AUROC with scikit-learn on 5 million voxels."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    print(
        "| 5,000,000 voxels | distinct scores | AP, difference | AUROC, difference | scikit-learn AP, s | whole, s "
        "| streamed, s | times faster |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for name, decimals in {"float32": None, "rounded: many ties": 2}.items():
        scores, truth = (np.concatenate(part) for part in zip(*chunks(5_000_000), strict=True))
        scores = scores if decimals is None else np.round(scores, decimals)
        peer, peer_s = timed(lambda s=scores, t=truth: average_precision_score(t, s), repeats=1)
        whole, whole_s = timed(lambda s=scores, t=truth: Ranking.of(s, t).average_precision())
        found, streamed_s = timed(lambda s=scores, t=truth: streamed([(s, t)], buffer=2**20))
        area = roc_auc_score(truth, scores)
        gap = max(abs(whole - peer), abs(found.average_precision - peer))
        print(
            f"| {name} | {np.unique(scores).size:,} | {gap:.1e} | {abs(found.auroc - area):.1e} | {peer_s:.2f} "
            f"| {whole_s:.2f} | {streamed_s:.2f} | {peer_s / whole_s:.0f}, {peer_s / streamed_s:.0f} |",
            flush=True,
        )


def memory(chosen: argparse.Namespace) -> None:
    """Stream many voxels through a fixed buffer, and say how much memory the whole process ever took."""
    start = time.perf_counter()
    found = streamed(chunks(chosen.voxels))
    seconds = time.perf_counter() - start
    print("| voxels | AP | s, making the scores among them | most memory of the process, MiB |")
    print("|---:|---:|---:|---:|")
    print(f"| {chosen.voxels:,} | {found.average_precision:.6f} | {seconds:.0f} | {peak_mib():,.0f} |", flush=True)


def peers(_: argparse.Namespace) -> None:
    """Compare surface distances with other libraries on random masks and on blobs, anisotropic."""
    from scipy import ndimage

    from uad_eval.surface import surface_distances

    rng = np.random.default_rng(0)
    spacing = (3.0, 1.0, 1.0)
    pairs = []
    for _ in range(20):
        field = ndimage.gaussian_filter(rng.normal(size=(2, 24, 48, 48)), (0, 2, 5, 5))
        pairs.append((field[0] > 0.02, field[0] + 0.4 * field[1] > 0.02))
    ours, seconds = timed(lambda: [surface_distances(*pair, spacing=spacing) for pair in pairs], repeats=1)
    mine = np.array(ours)
    print("| peer, 20 volumes of 24 x 48 x 48 | HD95, most apart, mm | mean distance, most apart, mm | s, ours in s |")
    print("|---|---:|---:|---:|")
    for name, (module, measure) in SURFACE_PEERS.items():
        if importlib.util.find_spec(module) is None:
            print(f"| {name} | not installed | | |")
            continue
        theirs, peer_s = timed(lambda m=measure: [m(*pair, spacing) for pair in pairs], repeats=1)
        apart = np.abs(mine - np.array(theirs)).max(axis=0)
        print(f"| {name} | {apart[0]:.2g} | {apart[1]:.2g} | {peer_s:.2f}, {seconds:.2f} |", flush=True)


def coverage(chosen: argparse.Namespace) -> None:
    """Simulate studies and count how often the 95 % interval holds the population's figure."""
    rng = np.random.default_rng(0)
    population = people(rng, 20_000)
    pooled = Ranking.of(*(np.concatenate(part) for part in zip(*population, strict=True))).average_precision()
    mean = float(np.mean([Ranking.of(*person).average_precision() for person in population]))
    print("| people | pooled AP, plain | pooled AP | mean AP, plain | mean AP | studies |")
    print("|---:|---:|---:|---:|---:|---:|")
    for count in (10, 20, 40, 80):
        held = np.zeros(4)
        for study in range(chosen.studies):
            cohort = people(rng, count)
            weights = subject_weights(count, seed=study)
            parts = [sorted_scores(*person) for person in cohort]
            ranking = Ranking.of(*(np.concatenate(part) for part in zip(*cohort, strict=True)))
            each = np.array([Ranking.of_sorted(*part).average_precision() for part in parts])
            drawn = ranking_draws(ranking, parts, weights, bins=64)["average_precision"]
            meaned = ratio_draws(each, np.ones(count), weights)
            for place, (draws, true) in enumerate(((drawn, pooled), (meaned, mean))):
                for kind, known in enumerate((None, count)):
                    low, high = interval(draws, subjects=known)
                    held[2 * place + kind] += low <= true <= high
        shares = " | ".join(f"{100 * share:.1f} %" for share in held / chosen.studies)
        print(f"| {count} | {shares} | {chosen.studies} |", flush=True)


def errors(chosen: argparse.Namespace) -> None:
    """Simulate studies of methods that are alike and count how often the tests call any pair different."""
    import pandas as pd

    from uad_eval.method_ranks import method_ranks
    from uad_eval.paired_tests import paired_tests

    rng = np.random.default_rng(0)
    print("| people | any of 6 pairs, uncorrected | Holm | beyond the critical difference | studies |")
    print("|---:|---:|---:|---:|---:|")
    for count in (10, 20, 40):
        wrong = np.zeros(3)
        for _ in range(chosen.studies):
            person = rng.normal(size=(count, 1))
            figures = pd.DataFrame(1 / (1 + np.exp(-person - rng.gumbel(size=(count, 4)))), columns=list("abcd"))
            tests, ranks = paired_tests(figures), method_ranks(figures)
            apart = ranks.ranks.max() - ranks.ranks.min() >= ranks.critical_difference
            wrong += [(tests["p"] <= 0.05).any(), (tests["p_holm"] <= 0.05).any(), apart]
        shares = " | ".join(f"{100 * share:.1f} %" for share in wrong / chosen.studies)
        print(f"| {count} | {shares} | {chosen.studies} |", flush=True)


def chunks(voxels: int) -> Iterator[tuple[NDArray, NDArray]]:
    """Make scores and truth piece by piece, lesion voxels one standard deviation higher."""
    rng = np.random.default_rng(0)
    for start in range(0, voxels, CHUNK):
        size = min(CHUNK, voxels - start)
        truth = rng.random(size, dtype=np.float32) < PREVALENCE
        yield rng.standard_normal(size, dtype=np.float32) + truth, truth


def people(rng: np.random.Generator, count: int) -> list[tuple[NDArray, NDArray]]:
    """Make people whose lesions differ in size (log-normal) and in how hard they are to see."""
    made = []
    for _ in range(count):
        truth = np.arange(200) < np.clip(16 * rng.lognormal(0, 0.5), 1, 100)
        made.append(((rng.normal(size=200) + rng.normal(2, 0.7) * truth).astype(np.float32), truth))
    return made


def streamed(parts, **options):
    """Stream (scores, truth) pairs and give the figures."""
    with StreamedRanking(**({"buffer_voxels": options["buffer"]} if options else {})) as stream:
        for scores, truth in parts:
            stream.add(scores, truth)
        return stream.figures()


def medpy(mask, truth, spacing):
    from medpy.metric import binary

    return binary.hd95(mask, truth, voxelspacing=spacing), binary.assd(mask, truth, voxelspacing=spacing)


def monai(mask, truth, spacing):
    import torch
    from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance

    pair = [torch.from_numpy(part)[None, None] for part in (mask, truth)]
    options = {"include_background": True, "spacing": spacing}
    hausdorff = compute_hausdorff_distance(*pair, percentile=95, **options)
    return float(hausdorff), float(compute_average_surface_distance(*pair, symmetric=True, **options))


def surface_distance(mask, truth, spacing):
    import surface_distance as peer

    found = peer.compute_surface_distances(truth, mask, spacing)
    return peer.compute_robust_hausdorff(found, 95), np.mean(peer.compute_average_surface_distance(found))


def timed(work: Callable, repeats: int = 3):
    """Give a result and the median of the processor's seconds it took, which other programs disturb least."""
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        result = work()
        seconds.append(time.process_time() - start)
    return result, statistics.median(seconds)


def peak_mib() -> float:
    """Most memory the process has held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


SURFACE_PEERS = {
    "MedPy": ("medpy", medpy),
    "MONAI": ("monai", monai),
    "surface-distance": ("surface_distance", surface_distance),
}
# Memory first, so that the most the process has held is its own.
PARTS = {"memory": memory, "exact": exact, "peers": peers, "coverage": coverage, "errors": errors}

if __name__ == "__main__":
    main()
