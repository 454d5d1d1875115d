"""Set `denoising_unet` beside a plain coarse-noise U-Net of MONAI, and say why the absolute residual fails on FLAIR.

Run ``pip install monai`` and ``UAD_REAL_DATA=... python benchmarks/measure_denoising.py lgg`` (or ``soop``). Both learn
on the same healthy slices, on one thread, in turns, each for the same processor time: the wall time of an idle machine,
and on a busy one as fair. The plain one is written here from the papers (Kascenas et al. 2022, 2023) with nothing of
ours. Figures are of brain voxels of all test slices, pooled; the median is over 5 x 5 pixels.
"""

import argparse
import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from monai.networks.nets import BasicUNet
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from uad_data import ArraySpec, ArrayStore, build_arrays
from uad_eval.experiment import open_cohort
from uad_eval.ranking import Ranking
from uad_models.feeding import Batch, read_batch
from uad_models.registry import create, method_class

SIDE, SD, GRID = 96, 0.2, 16
TURN_S = 5.0
MOST_SLICES = 400
Denoise = Callable[[Tensor], Tensor]


class Side:
    """A network in training: AdamW, and a cosine over the time it is given."""

    def __init__(self, network: torch.nn.Module, loss: Callable[[Batch], Tensor], rate: float) -> None:
        self.network, self.loss, self.rate = network, loss, rate
        self.optimiser = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=0.0)
        self.generator, self.steps, self.spent = np.random.default_rng(0), 0, 0.0

    def turn(self, store: ArrayStore, rows: NDArray, seconds: float, total: float) -> None:
        """Train for some seconds out of a total."""
        begun = time.process_time()
        self.network.train()
        while (now := time.process_time() - begun) < seconds:
            done = min((self.spent + now) / total, 1.0)
            for group in self.optimiser.param_groups:
                group["lr"] = self.rate * 0.5 * (1 + math.cos(math.pi * done))
            batch = read_batch(store, np.sort(self.generator.choice(rows, 16, replace=False)))
            self.optimiser.zero_grad()
            self.loss(batch).backward()
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
            self.optimiser.step()
            self.steps += 1
        self.spent += time.process_time() - begun


def plain_noise(brain: Tensor, sd: float) -> Tensor:
    """Draw the papers' noise: 16 x 16 points, enlarged, moved around, inside the brain."""
    noise = torch.randn(len(brain), 1, GRID, GRID) * sd
    noise = functional.interpolate(noise, size=brain.shape[-2:], mode="bilinear", align_corners=False)
    shift = [int(torch.randint(side, ())) for side in brain.shape[-2:]]
    return torch.roll(noise, shift, (-2, -1)) * brain


def plain_loss(network: torch.nn.Module, batch: Batch) -> Tensor:
    """Squared error of the restored image over brain voxels."""
    image, brain = batch["image"], batch["brain"]
    restored = network(image + plain_noise(brain, SD))
    return ((restored - image) * brain).square().sum() / brain.sum()


@torch.inference_mode()
def residuals(denoise: Denoise, store: ArrayStore, rows: NDArray, *, sd: float = 0.0) -> NDArray:
    """Image minus what the network makes of it, ``(n, h, w)``; with noise of a level at its input, mean of three."""
    torch.manual_seed(1)
    parts = []
    for some in np.array_split(rows, -(-len(rows) // 32)):
        batch = read_batch(store, some)
        image, brain = batch["image"], batch["brain"]
        draws = 3 if sd else 1
        restored = sum(denoise(image + plain_noise(brain, sd) if sd else image) for _ in range(draws)) / draws
        parts.append(((image - restored) * brain)[:, 0].numpy())
    return np.concatenate(parts)


def average_precision(score: NDArray, truth: NDArray, where: NDArray) -> float:
    """Of the voxels where asked, pooled."""
    return Ranking.of(score[where].astype(np.float64), truth[where]).average_precision()


def median(maps: NDArray) -> NDArray:
    """Each slice's running median."""
    return ndimage.median_filter(maps, size=(1, 5, 5))


def report_scores(name: str, side: Side, residual: NDArray, truth: NDArray, brain: NDArray) -> None:
    """Print one side's row of the table."""
    found = [average_precision(score, truth, brain) for score in scores_of(residual).values()]
    row = " | ".join(f"{value:.3f}" for value in found)
    print(f"| {name} | {side.steps} | {side.spent:.0f} | {row} |", flush=True)


def scores_of(residual: NDArray) -> dict[str, NDArray]:
    """Give the four scores that are compared."""
    size, above = np.abs(residual), np.maximum(residual, 0)
    return {"absolute": size, "absolute, median": median(size), "signed": above, "signed, median": median(above)}


def explain(name: str, denoise: Denoise, store: ArrayStore, rows: NDArray, healthy: NDArray) -> None:
    """Print why the absolute residual of test rows ranks as it does, and what healthy validation rows say of it."""
    image, brain, truth = store.image[rows][:, 0].astype(np.float32), store.brain[rows], store.lesion[rows] > 0
    residual, normal = residuals(denoise, store, rows), brain & ~truth
    size = np.abs(residual)
    print(f"\n{name}: residual (image minus restored), test slices")
    for where, voxels in (("normal tissue", normal), ("lesion", truth & brain)):
        own = residual[voxels]
        print(
            f"- {where}: mean {own.mean():+.4f}, mean size {np.abs(own).mean():.4f}, below zero {(own < 0).mean():.0%}"
        )
    steep = np.stack([ndimage.gaussian_gradient_magnitude(one, 1.0) for one in image])
    edge = brain & (steep > np.quantile(steep[brain], 0.75))
    rim = brain & ~np.stack([ndimage.binary_erosion(one, iterations=3) for one in brain])
    top = size > np.quantile(size[brain], 0.98)
    alarms = top & normal
    print(
        f"- of the 2 % largest absolute residuals {(truth & top).sum() / top.sum():.0%} are lesion; of the rest "
        f"{(residual[alarms] < 0).mean():.0%} are below zero, {edge[alarms].mean():.0%} lie in the steepest quarter of "
        f"the brain, {rim[alarms].mean():.0%} within three pixels of its rim (which is {rim.sum() / brain.sum():.0%})"
    )
    for where, voxels in (
        ("all", brain),
        ("without the steepest quarter", brain & ~edge),
        ("without rim", brain & ~rim),
    ):
        chance = truth[voxels].mean()
        values = [average_precision(score, truth, voxels) for score in (size, np.maximum(residual, 0))]
        print(f"- AP {where}: absolute {values[0]:.3f}, signed {values[1]:.3f}, chance {chance:.3f}")
    centred = np.abs(residual - np.median(residual[normal]))
    print(f"- AP of the absolute residual without its bias: {average_precision(centred, truth, brain):.3f}")
    for sd in (0.1, SD, 0.4):
        noisy = residuals(denoise, store, rows, sd=sd)
        values = [average_precision(score, truth, brain) for score in (np.abs(noisy), np.maximum(noisy, 0))]
        bias = noisy[normal].mean()
        print(
            f"- noise of {sd} at the input: mean over normal tissue {bias:+.4f}; "
            f"AP absolute {values[0]:.3f}, signed {values[1]:.3f}"
        )
    own, inside = residuals(denoise, store, healthy), store.brain[healthy]
    large = np.abs(own) > np.quantile(np.abs(own[inside]), 0.98)
    print(
        f"- healthy validation: {(own[large & inside] < 0).mean():.0%} of the 2 % largest absolute residuals are below "
        f"zero; 98th percentile of what is above zero {np.quantile(own[inside], 0.98):.4f}, below "
        f"{-np.quantile(own[inside], 0.02):.4f}"
    )


def main() -> None:
    """Train both sides and print the table and the reasons."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cohort", help="lgg, soop, phantom or a cohort.csv")
    parser.add_argument("--seconds", type=float, default=180.0, help="processor time of each training")
    parser.add_argument("--cache", type=Path, default=Path(".uad"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    spec = ArraySpec(size=(SIDE, SIDE), modalities=("flair",), slices="fraction:0.25")
    cohort = open_cohort(arguments.cohort, cache=arguments.cache, workers=1).with_modalities(spec.modalities)
    store = build_arrays(cohort, spec, cache=arguments.cache / "arrays", progress=False, workers=1)
    train, test = store.healthy_rows("train"), store.rows("test")[:: max(1, len(store.rows("test")) // MOST_SLICES)]
    preset = method_class("denoising_unet").presets["quick"]
    ours = create("denoising_unet", in_channels=1, size=spec.size, **preset.config)
    plain = BasicUNet(spatial_dims=2, in_channels=1, out_channels=1)
    sides = {
        "denoising_unet, quick": Side(ours, lambda batch: ours.loss(batch)["loss"], preset.train["learning_rate"]),
        "MONAI BasicUNet": Side(plain, lambda batch: plain_loss(plain, batch), 1e-3),
    }
    denoisers: dict[str, Denoise] = {"denoising_unet, quick": ours.reconstruct, "MONAI BasicUNet": plain}
    while any(side.spent < arguments.seconds for side in sides.values()):
        for side in sides.values():
            side.turn(store, train, min(TURN_S, max(arguments.seconds - side.spent, 0)), arguments.seconds)
    people = store.index["subject"].iloc[test].nunique()
    print(f"{arguments.cohort}: {len(train)} healthy slices to learn from, {len(test)} test slices of {people} people")
    brain, truth = store.brain[test], store.lesion[test] > 0
    names = list(scores_of(np.zeros((1, 5, 5))))
    print(f"| | steps | seconds | {' | '.join(names)} |\n|{'---|' * (3 + len(names))}")
    for name, side in sides.items():
        side.network.eval()
        report_scores(name, side, residuals(denoisers[name], store, test), truth, brain)
    print(f"\nChance {truth[brain].mean():.3f}; intensity alone:", end=" ")
    image = store.image[test][:, 0].astype(np.float32)
    print(", ".join(f"{average_precision(score, truth, brain):.3f}" for score in (image, median(image))))
    for name in sides:
        explain(name, denoisers[name], store, test, store.healthy_rows("val"))


if __name__ == "__main__":
    main()
