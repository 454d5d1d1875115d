"""Set methods of the papers beside plain peers on people of LGG or SOOP: AP after the same training time.

Run ``pip install monai`` and ``UAD_REAL_DATA=... python benchmarks/quality.py lgg`` (or ``soop``). People are dealt
into folds; each side is trained per fold on the same lesion-free slices of the training people, on one thread, for the
same processor time: the wall time of an idle machine, and on a busy one as fair. All have batches of 16, AdamW and a
cosine over that time. A fusion's members share the time.

The peers are MONAI's networks with plain losses, and brightness. Every map, theirs too, goes through a 5 x 5 median; of
a peer's residual both the absolute and the signed one are rows, and the best row of all peers is what ours are held
against. Figures pool the brain voxels of all people, each scored by the training that never saw them; intervals are
over people. ``--curve`` prints a line for every fifth of the time, on the first fold.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from measure_denoising import Side, median, plain_loss
from monai.networks.nets import VQVAE, AutoEncoder, BasicUNet, VarAutoEncoder
from numpy.typing import NDArray
from torch import Tensor

from uad_data import ArraySpec, ArrayStore, build_arrays
from uad_eval.bootstrap import interval
from uad_eval.comparison import over_seeds, paired_difference
from uad_eval.evaluation import evaluate
from uad_eval.experiment import MethodSpec, open_cohort
from uad_eval.experiment.folds import fold_stores
from uad_eval.results import POOLED, SUBJECT, Evaluation, RunKey
from uad_models.feeding import Batch, read_batch
from uad_models.registry import create, method_class

SIDE, TURN_S = 96, 4.0
METRIC = "average_precision"
OURS = {
    "ae": ("ae:residual=signed",),
    "denoising_unet": ("denoising_unet",),
    "ae + denoising_unet": ("ae:residual=signed", "denoising_unet"),
    "ae + vae + dae": ("ae:residual=signed", "vae:residual=signed", "dae:residual=signed"),
}


def autoencoder_loss(network: torch.nn.Module, batch: Batch) -> Tensor:
    """Mean absolute error over the brain."""
    return ((network(batch["image"]) - batch["image"]) * batch["brain"]).abs().sum() / batch["brain"].sum()


def variational_loss(network: torch.nn.Module, batch: Batch) -> Tensor:
    """Squared error and divergence, each summed over an image, of a Gaussian of unit variance."""
    rebuilt, mean, log_variance, _ = network(batch["image"])
    error = 0.5 * (rebuilt - batch["image"]).square().sum()
    return (error - 0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum()) / len(rebuilt)


def codebook_loss(network: torch.nn.Module, batch: Batch) -> Tensor:
    """Mean absolute error over the brain, and what the codebook asks for."""
    rebuilt, quantisation = network(batch["image"])
    return ((rebuilt - batch["image"]) * batch["brain"]).abs().sum() / batch["brain"].sum() + quantisation


def peers() -> dict[str, tuple[torch.nn.Module, Callable[[torch.nn.Module, Batch], Tensor]]]:
    """Make the plain networks and their losses."""
    stack = {"channels": (16, 32, 64, 128), "strides": (2, 2, 2, 2)}
    flat = {"spatial_dims": 2, "in_channels": 1, "out_channels": 1}
    return {
        "MONAI AutoEncoder": (AutoEncoder(**flat, **stack), autoencoder_loss),
        "MONAI VarAutoEncoder": (
            VarAutoEncoder(2, (1, SIDE, SIDE), 1, latent_size=64, **stack, use_sigmoid=False),
            variational_loss,
        ),
        "MONAI VQVAE": (
            VQVAE(**flat, channels=(32, 64, 64), num_res_channels=64, num_res_layers=1, num_embeddings=64),
            codebook_loss,
        ),
        "MONAI BasicUNet, coarse noise": (BasicUNet(**flat), plain_loss),
    }


def batches(store: ArrayStore, rows: NDArray) -> Iterator[Batch]:
    """Read rows in order."""
    for some in np.array_split(rows, -(-len(rows) // 32)):
        yield read_batch(store, some)


def train(sides: Sequence[Side], store: ArrayStore, until: float, seconds: float) -> None:
    """Train each, in turns, up to some of the seconds that it has in all."""
    rows = store.healthy_rows("train")
    while any(side.spent < until for side in sides):
        for side in sides:
            if side.spent < until:
                side.turn(store, rows, min(TURN_S, until - side.spent), seconds)


class Peer:
    """A plain network with its two residuals."""

    def __init__(self, name: str, seconds: float) -> None:
        self.name, self.seconds = name, seconds
        self.network, loss = peers()[name]
        self.side = Side(self.network, lambda batch: loss(self.network, batch), 1e-3)

    def train(self, store: ArrayStore, share: float) -> None:
        """Go on up to a share of the time."""
        train([self.side], store, share * self.seconds, self.seconds)

    @torch.inference_mode()
    def maps(self, store: ArrayStore, rows: NDArray) -> dict[str, NDArray]:
        """Give the absolute and the signed residual, by the names of their rows in the table."""
        self.network.eval()
        parts = []
        for batch in batches(store, rows):
            rebuilt = self.network(batch["image"])
            rebuilt = rebuilt[0] if isinstance(rebuilt, tuple) else rebuilt
            parts.append(((batch["image"] - rebuilt) * batch["brain"])[:, 0].numpy())
        residual = np.concatenate(parts)
        return {f"{self.name}, absolute": np.abs(residual), f"{self.name}, signed": np.maximum(residual, 0)}


class Ours:
    """Methods of this project, by themselves or as the members of an ensemble."""

    def __init__(self, name: str, seconds: float) -> None:
        self.name, members = name, OURS[name]
        self.seconds = seconds / len(members)
        if len(members) > 1:
            self.method = create("ensemble", in_channels=1, size=(SIDE, SIDE), members=members)
            networks = list(self.method.members)
        else:
            spec = MethodSpec.parse(members[0])
            preset = method_class(spec.name).presets["quick"].config
            self.method = create(spec.name, in_channels=1, size=(SIDE, SIDE), **preset | spec.settings)
            networks = [self.method]
        self.sides = [
            Side(network, lambda batch, stage=stage: self.method.loss(batch, stage=stage)["loss"], 1e-3)
            for network, stage in zip(networks, self.method.stages, strict=True)
        ]

    def train(self, store: ArrayStore, share: float) -> None:
        """Go on up to a share of the time; then look at healthy validation slices, as after any training."""
        train(self.sides, store, share * self.seconds, self.seconds)
        self.method.eval()
        healthy = store.healthy_rows("val")
        with torch.no_grad():
            self.method.calibrate(lambda: batches(store, healthy), generator=torch.Generator().manual_seed(0))

    @torch.inference_mode()
    def maps(self, store: ArrayStore, rows: NDArray) -> dict[str, NDArray]:
        """Give the anomaly map."""
        self.method.eval()
        found = [self.method.anomaly_map(batch["image"])[:, 0].numpy() for batch in batches(store, rows)]
        return {self.name: np.concatenate(found)}


def brightness(store: ArrayStore, rows: NDArray) -> dict[str, NDArray]:
    """Give the maps of the two thresholds."""
    found = {}
    for name, equalise in (("intensity", False), ("equalised intensity", True)):
        method = create("intensity", in_channels=1, size=(SIDE, SIDE), equalise=equalise)
        maps = [method.anomaly_map(batch["image"])[:, 0].numpy() for batch in batches(store, rows)]
        found[name] = np.concatenate(maps)
    return found


def score(maps: dict[str, list[NDArray]], stores: tuple[ArrayStore, ...], cohort: str) -> Evaluation:
    """Evaluate the maps of all folds in one pot."""
    store, rows = stores[0], np.concatenate([each.rows("test") for each in stores])
    index = store.index.iloc[rows]
    kept = index["lesion_voxels"].to_numpy() >= 0
    truth, brain, subjects = store.lesion[rows][kept], store.brain[rows][kept], index["subject"].to_numpy()[kept]
    return Evaluation.concat(
        [
            evaluate(
                median(np.concatenate(parts)[kept]), truth, brain, subjects, key=RunKey(cohort=cohort, method=name)
            )
            for name, parts in maps.items()
        ]
    )


def times(evaluation: Evaluation, ours: str, theirs: str) -> str:
    """Give how many times one AP is the other, with its interval over the same draws of people."""
    draws = evaluation.draws[(evaluation.draws["metric"] == METRIC) & (evaluation.draws["aggregation"] == POOLED)]
    each = draws.set_index("method")["draws"]
    people = evaluation.results.loc[evaluation.results["aggregation"] == SUBJECT, "subject"].nunique()
    low, high = interval(np.asarray(each[ours]) / np.asarray(each[theirs]), subjects=people)
    value = over_seeds(evaluation, ours, metric=METRIC).value / over_seeds(evaluation, theirs, metric=METRIC).value
    return f"{value:.2f} [{low:.2f}, {high:.2f}]"


def report(evaluation: Evaluation, plain: Sequence[str]) -> None:
    """Print the table, ours against the best of the others."""
    best = max(plain, key=lambda name: over_seeds(evaluation, name, metric=METRIC).value)
    print(f"\n| | AP | times {best} | above it by |\n|---|---|---|---|")
    for name in (*plain, *OURS):
        own = over_seeds(evaluation, name, metric=METRIC)
        ratio, gain = "", ""
        if name in OURS:
            ratio = times(evaluation, name, best)
            more = paired_difference(evaluation, name, best, metric=METRIC)
            gain = f"{more.value:.3f} [{more.low:.3f}, {more.high:.3f}]"
        print(f"| {name} | {own.value:.3f} [{own.low:.3f}, {own.high:.3f}] | {ratio} | {gain} |")


def main() -> None:
    """Train every side on every fold and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cohort", help="lgg, soop, phantom or a cohort.csv")
    parser.add_argument("--seconds", type=float, default=60.0, help="processor time of each training")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--curve", action="store_true", help="AP against time on the first fold, and nothing else")
    parser.add_argument("--cache", type=Path, default=Path(".uad"))
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    spec = ArraySpec(size=(SIDE, SIDE), modalities=("flair",), slices="fraction:0.25")
    cohort = open_cohort(chosen.cohort, cache=chosen.cache, workers=1, split=False).with_modalities(spec.modalities)
    store = build_arrays(cohort, spec, cache=chosen.cache / "arrays", progress=False, workers=1)
    stores = fold_stores(store, folds=chosen.folds, validation_share=0.2)
    stores = stores[:1] if chosen.curve else stores
    shares = (0.2, 0.4, 0.6, 0.8, 1.0) if chosen.curve else (1.0,)
    maps: dict[str, list[NDArray]] = {}
    for number, fold in enumerate(stores, start=1):
        torch.manual_seed(number)
        rows = fold.rows("test")
        for name, found in brightness(fold, rows).items():
            maps.setdefault(name, []).append(found)
        for side in (*(Peer(name, chosen.seconds) for name in peers()), *(Ours(name, chosen.seconds) for name in OURS)):
            for share in shares:
                side.train(fold, share)
                found = side.maps(fold, rows)
                if chosen.curve:
                    now = score({name: [each] for name, each in found.items()}, stores, chosen.cohort)
                    values = {name: over_seeds(now, name, metric=METRIC).value for name in found}
                    shown = "; ".join(f"{name} {value:.3f}" for name, value in values.items())
                    print(f"{share * chosen.seconds:.0f} s: {shown}", flush=True)
            for name, each in found.items():
                maps.setdefault(name, []).append(each)
        print(f"fold {number} of {len(stores)} done", flush=True)
    if not chosen.curve:
        report(score(maps, stores, chosen.cohort), [name for name in maps if name not in OURS])


if __name__ == "__main__":
    main()
