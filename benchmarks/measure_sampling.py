"""Measure sampling, resampling and scoring of codes, and a training step of the VQ-VAE, against MONAI; print tables.

Run ``python benchmarks/measure_sampling.py`` (some minutes; two threads); with ``--sampled 4 4 --scored 5 8 --steps 2``
it only shows, in seconds, that all of it runs. Both transformers have 8 layers of width 256,
8 heads and 512 codes, float32, and random weights; MONAI's runs as it comes and with ``use_flash_attention=True``.

- Sampling and likelihood go through MONAI's ``VQVAETransformerInferer``, with a stand-in for the VQ-VAE that only hands
  codes over, so that the transformers alone are timed.
- The three take turns, this package before and behind each of MONAI's two, so that other work on the machine meets all;
  its figure is the mean. MONAI's loops run once a round, `--rounds` of them.
- A second table has this package's own options, and the share of codes that are drawn as in float32, not compiled.
  Networks with linear attention are others: for them it is the share among themselves.
- MONAI has no resampling. What one writes with it is a loop over the codes to change, each drawn from a pass over all
  codes before it. Those passes are timed at every fifth place and their sum is scaled, because the loop takes minutes.
- The VQ-VAEs have the same widths, blocks, codes and optimiser, and see the same batches. MONAI has its blocks at every
  level, this package at the coarsest only, so the table also gives the error on slices not trained on. The last line is
  MONAI's default network, timed for one step.
"""

import argparse
import math
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from monai.inferers import VQVAETransformerInferer
from monai.networks.nets import VQVAE as MonaiVQVAE
from monai.networks.nets import DecoderOnlyTransformer
from monai.utils.ordering import Ordering
from torch import Tensor, nn

from uad_data.arrays import ArraySpec, ArrayStore, build_arrays
from uad_data.phantom import write_phantom
from uad_models.feeding import Feeder, read_batch
from uad_models.methods.ae import brain_mean
from uad_models.registry import create
from uad_models.sequence.prior import Attention, CodePrior
from uad_models.sequence.sampling import Drawing, resample

CODES, WIDTH, DEPTH, HEADS = 512, 256, 8, 8
EVERY = 5
Grid = tuple[int, int]
Batch = dict[str, Tensor]


class Codes(nn.Module):
    """Stands for a VQ-VAE: images are codes already, and decoding leaves them so."""

    num_embeddings = CODES

    def index_quantize(self, images: Tensor) -> Tensor:
        """Hand codes over."""
        return images

    def decode_samples(self, codes: Tensor) -> Tensor:
        """Hand codes over."""
        return codes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sampled", type=int, nargs=2, default=(16, 16), metavar=("H", "W"), help="codes drawn")
    parser.add_argument("--scored", type=int, nargs=2, default=(30, 40), metavar=("H", "W"), help="scored and redrawn")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=60, help="training steps of the VQ-VAEs")
    chosen = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(chosen.threads)
    with torch.inference_mode():
        sequences(tuple(chosen.sampled), tuple(chosen.scored), chosen.rounds)
        options(tuple(chosen.scored), chosen.rounds)
    with tempfile.TemporaryDirectory() as folder:
        cohort = write_phantom(Path(folder) / "phantom", subjects=8, seed=0)
        autoencoders(build_arrays(cohort, ArraySpec(), cache=Path(folder) / "cache", progress=False), chosen.steps)


def sequences(sampled: Grid, scored: Grid, rounds: int) -> None:
    """Time the transformers and print their table."""
    torch.manual_seed(0)
    few, many = math.prod(sampled), math.prod(scored)
    short, long = prior(sampled), prior(scored)
    monai = {name: monai_prior(max(few, many), flash=name == "flash") for name in ("default", "flash")}
    change = torch.zeros(1, many, dtype=torch.bool)
    change[0, torch.randperm(many)[: many // 10]] = True
    codes, which = torch.randint(CODES, (8, many)), torch.zeros(8, dtype=torch.long)
    everything = torch.ones(1, few, dtype=torch.bool)

    def sampling() -> Tensor:
        return resample(short, torch.zeros(1, few, dtype=torch.long), everything, which[:1], torch.rand(1, 8, few))

    def resampling() -> Tensor:
        return resample(long, codes[:1], change, which[:1], torch.rand(1, 4, many))

    tasks: dict[str, tuple[Callable[[], Tensor], Callable[[DecoderOnlyTransformer], float]]] = {
        f"sampling {few:,} tokens x 8": (sampling, lambda net: seconds(lambda: monai_sampling(net, sampled))),
        f"resampling 10 % of {many:,} tokens x 4": (
            resampling,
            lambda net: monai_resampling(net, codes[:1].repeat(4, 1), change[0]),
        ),
        f"likelihood of {many:,} tokens x 8": (
            lambda: long.log_likelihood(codes, which),
            lambda net: seconds(lambda: monai_likelihood(net, codes, scored)),
        ),
    }
    print("| task | this package, s | MONAI, s | times | MONAI flash, s | times |\n|---|---:|---:|---:|---:|---:|")
    for task, (run, peer) in tasks.items():
        run()
        own, peers = [seconds(run)], {name: [] for name in monai}
        for _ in range(rounds):
            for name, net in monai.items():
                peers[name].append(peer(net))
                own.append(seconds(run))
        ours, plain, flash = (statistics.mean(each) for each in (own, *peers.values()))
        print(
            f"| {task} | {ours:.2f} | {plain:.2f} | {plain / ours:.1f} | {flash:.2f} | {flash / ours:.1f} |", flush=True
        )


def options(scored: Grid, rounds: int) -> None:
    """Time what this package offers for drawing, in turns, and print its table."""
    torch.manual_seed(0)
    many = math.prod(scored)
    change = torch.zeros(1, many, dtype=torch.bool)
    change[0, torch.randperm(many)[: many // 10]] = True
    codes, which, uniforms = torch.randint(CODES, (1, many)), torch.zeros(1, dtype=torch.long), torch.rand(1, 4, many)
    kinds = {
        "float32": Drawing(),
        "bfloat16": Drawing(dtype=torch.bfloat16),
        "compiled": Drawing(compiled=True),
    }
    print("\n| resampling, attention | drawing | s | codes as in float32 |\n|---|---|---:|---:|")
    for attention in ("full", "linear"):
        net = prior(scored, attention=attention)
        runs = {
            name: partial(resample, net, codes, change, which, uniforms, drawing=kind) for name, kind in kinds.items()
        }
        found = {name: run() for name, run in runs.items()}
        times: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(rounds):
            for name, run in runs.items():
                times[name].append(seconds(run))
        drawn = change[:, None].expand_as(uniforms)
        for name, each in times.items():
            same = (found[name] == found["float32"])[drawn].float().mean()
            print(f"| {attention} | {name} | {statistics.mean(each):.2f} | {same:.4f} |", flush=True)


def prior(grid: Grid, *, attention: Attention = "full") -> CodePrior:
    """Make the prior of this package."""
    sizes = {"codes": CODES, "width": WIDTH, "depth": DEPTH, "heads": HEADS}
    return CodePrior(grid=grid, **sizes, orderings=("raster_0",), attention=attention).eval()


def monai_prior(length: int, *, flash: bool) -> DecoderOnlyTransformer:
    """MONAI's, whose vocabulary holds the start token."""
    return DecoderOnlyTransformer(
        num_tokens=CODES + 1,
        max_seq_len=length + 1,
        attn_layers_dim=WIDTH,
        attn_layers_depth=DEPTH,
        attn_layers_heads=HEADS,
        use_flash_attention=flash,
    ).eval()


def raster(grid: Grid) -> Ordering:
    """MONAI's row-by-row order."""
    return Ordering(ordering_type="raster_scan", spatial_dims=2, dimensions=(1, *grid))


def monai_sampling(net: DecoderOnlyTransformer, grid: Grid) -> Tensor:
    """Sample a grid of codes, 8 times."""
    start = torch.full((8, 1), CODES)
    return VQVAETransformerInferer().sample(grid, start, Codes(), net, raster(grid), verbose=False)


def monai_likelihood(net: DecoderOnlyTransformer, codes: Tensor, grid: Grid) -> Tensor:
    """Score grids of codes."""
    return VQVAETransformerInferer().get_likelihood(codes.view(-1, *grid), Codes(), net, raster(grid))


def monai_resampling(net: DecoderOnlyTransformer, codes: Tensor, change: Tensor) -> float:
    """Seconds of the passes that a loop over the changed codes takes, timed at every fifth."""
    read = torch.cat([torch.full_like(codes[:, :1], CODES), codes[:, :-1]], dim=1)
    places = change.nonzero().flatten().tolist()
    net(read[:, : places[0] + 1])
    timed = places[min(EVERY // 2, len(places) - 1) :: EVERY]
    spent = sum(
        seconds(lambda stop=place + 1: torch.multinomial(net(read[:, :stop])[:, -1].softmax(-1), 1)) for place in timed
    )
    return spent * len(places) / len(timed)


def autoencoders(store: ArrayStore, steps: int) -> None:
    """Train both VQ-VAEs on the same batches and print their table."""
    train, val = (store.healthy_rows(split) for split in ("train", "val"))
    feeder, unseen = Feeder(store, train, batch_size=32), read_batch(store, val)
    own, same, default = own_vqvae(), monai_vqvae((16, 32, 64), 2), monai_vqvae((96, 96, 192), 3)
    times: dict[str, list[float]] = {"this package": [], "MONAI": []}
    sides = {"this package": own, "MONAI": same}
    steppers = {name: stepper(net) for name, net in sides.items()}
    for number in range(steps):
        for name, take_step in steppers.items():
            times[name].append(seconds(partial(take_step, feeder.batch(number))))
    print("\n| VQ-VAE, 32 slices of 128 x 128 | ms per step | times | ℓ1 error on other slices |\n|---|---:|---:|---:|")
    ours = statistics.median(times["this package"])
    for name, net in sides.items():
        one, error = statistics.median(times[name]), error_of(net, unseen)
        print(f"| {name}, after {steps} steps | {1e3 * one:.0f} | {one / ours:.1f} | {error:.4f} |")
    step = stepper(default)
    one = min(seconds(lambda: step(feeder.batch(0))) for _ in range(2))
    print(f"| MONAI, default widths | {1e3 * one:.0f} | {one / ours:.1f} | |")


def own_vqvae() -> nn.Module:
    """Make the quick preset of this package, with a plain ℓ1 loss, as MONAI's."""
    torch.manual_seed(0)
    return create("vqvae", channels=(16, 32, 64), blocks=2, codes=64, code_dim=32, predict_scale=False)


def monai_vqvae(channels: tuple[int, ...], blocks: int) -> nn.Module:
    """MONAI's, of given widths and blocks per level."""
    torch.manual_seed(0)
    return MonaiVQVAE(
        spatial_dims=2,
        in_channels=1,
        out_channels=1,
        channels=channels,
        num_res_channels=channels,
        num_res_layers=blocks,
        downsample_parameters=((2, 4, 1, 1),) * len(channels),
        upsample_parameters=((2, 4, 1, 1, 0),) * len(channels),
        num_embeddings=64,
        embedding_dim=32,
        decay=0.99,
        ddp_sync=False,
    )


def stepper(net: nn.Module) -> Callable[[Batch], None]:
    """Make a training step with Adam."""
    optimiser = torch.optim.Adam(net.parameters(), 2e-3, fused=True)

    def step(batch: Batch) -> None:
        optimiser.zero_grad()
        if isinstance(net, MonaiVQVAE):
            reconstruction, commitment = net(batch["image"])
            loss = brain_mean((reconstruction - batch["image"]).abs(), batch["brain"]) + commitment
        else:
            loss = net.loss(batch)["loss"]
        loss.backward()
        optimiser.step()

    return step


@torch.no_grad()
def error_of(net: nn.Module, batch: Batch) -> float:
    """Mean absolute error over the brain of slices not trained on."""
    net.eval()
    made = net(batch["image"])[0] if isinstance(net, MonaiVQVAE) else net.reconstruct(batch["image"])
    return brain_mean((made - batch["image"]).abs(), batch["brain"]).item()


def seconds(run: Callable[[], object]) -> float:
    """Wall time of a call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
