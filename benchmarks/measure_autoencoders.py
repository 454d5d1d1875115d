"""Measure training steps of `ae` and `vae` against the same networks written with MONAI; print a table.

Run ``python benchmarks/measure_autoencoders.py`` (some minutes; two threads); with ``--rounds 1 --steps 1`` it only
shows, in seconds, that all of it runs; ``--profile`` also prints where the time of a step goes.

Both sides have three convolutions of kernel 3 and stride 2 with 16, 32 and 64 channels, batch normalisation, leaky ReLU
and the mirrored decoder, float32; the VAE a code of 32 numbers. MONAI has no kernel of 4 with the padding that halves
an image, which is why the kernel is 3 here. Both start from the same weights, see the same batches of 32 slices of
128 x 128, have the same loss and Adam. This package takes its steps through the training loop's `Stage`, warm-up and
clipping switched off; MONAI's are the plain loop of its tutorials. What differs still: MONAI's convolutions have biases
before the normalisation, and its VAE passes the decoded code through a ReLU without normalisation. Rounds of the two
sides alternate; the median over rounds is printed, and the error on slices not trained on after equal steps.
"""

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from lightning_fabric import Fabric
from monai.networks.nets import AutoEncoder, VarAutoEncoder
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from uad_data.arrays import ArraySpec, ArrayStore, build_arrays
from uad_data.phantom import write_phantom
from uad_models.feeding import Feeder, read_batch
from uad_models.method import Method
from uad_models.methods.ae import brain_mean
from uad_models.methods.vae import divergence_from_prior
from uad_models.registry import create
from uad_models.train_config import TrainConfig
from uad_models.training_stage import Loss, Stage

SIZE, BATCH, RATE, CODE = (128, 128), 32, 1e-3, 32
STACK = {"channels": (16, 32, 64), "kernels": (3,), "predict_scale": False, "reconstruction_loss": "l2"}
OURS = {
    "ae": {**STACK, "latent": "features"},
    "vae": {**STACK, "latent": "dense", "latent_dim": CODE, "fixed_scale": 0.5**0.5},
}
SIDES = ("this package", "MONAI")
Step = Callable[[int], None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--steps", type=int, default=25, help="of each side in a round")
    parser.add_argument("--precision", default="32-true", help="of this package, 32-true or bf16-mixed")
    parser.add_argument("--compile", action="store_true", help="compile this package's network")
    parser.add_argument("--profile", action="store_true", help="print where the time of a step goes")
    chosen = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(chosen.threads)
    with tempfile.TemporaryDirectory() as folder:
        cohort = write_phantom(Path(folder) / "phantom", subjects=8, seed=0, spacing_mm=4.0)
        store = build_arrays(cohort, ArraySpec(size=SIZE), cache=Path(folder) / "cache", progress=False)
        print("| network | side | steps a second | times | error on other slices |\n|---|---|---:|---:|---:|")
        for name in OURS:
            compare(name, store, chosen)


def compare(name: str, store: ArrayStore, chosen: argparse.Namespace) -> None:
    """Train one network on both sides in turns and print its rows."""
    torch.manual_seed(0)
    own = create(name, size=SIZE, in_channels=1, **OURS[name])
    peer = peer_of(own)
    if chosen.compile:
        own.network.compile()
    steps = dict(zip(SIDES, (our_step(own, store, chosen), their_step(peer, store)), strict=True))
    seconds: dict[str, list[float]] = {side: [] for side in steps}
    for number in range(chosen.rounds):
        for side, step in steps.items():
            start = time.perf_counter()
            for each in range(chosen.steps):
                step(number * chosen.steps + each)
            seconds[side].append((time.perf_counter() - start) / chosen.steps)
    unseen = read_batch(store, store.healthy_rows("val"))
    medians = {side: statistics.median(times) for side, times in seconds.items()}
    errors = dict(zip(SIDES, (error_of(own.reconstruct, own, unseen), error_of(peer, peer, unseen)), strict=True))
    for side, median in medians.items():
        times = medians["MONAI"] / median
        print(f"| `{name}` | {side} | {1 / median:.2f} | {times:.2f} | {errors[side]:.5f} |", flush=True)
    if chosen.profile:
        for side, step in steps.items():
            print_profile(f"{name}, {side}", step, chosen.rounds * chosen.steps)


def our_step(method: Method, store: ArrayStore, chosen: argparse.Namespace) -> Step:
    """Make the training loop's step."""
    fabric = Fabric(accelerator="cpu", devices=1, precision=chosen.precision)
    config = TrainConfig(
        steps=10**6, batch_size=BATCH, learning_rate=RATE, warmup_steps=0, schedule="constant", gradient_clip=0.0
    )
    method.train()
    loss = fabric.setup(Loss(method))
    return Stage("fit", 0, loss=loss, fabric=fabric, store=store, config=config, seed=0, losses=[]).step


def their_step(net: nn.Module, store: ArrayStore) -> Step:
    """Make a plain step."""
    optimiser = torch.optim.Adam(net.parameters(), RATE)
    feeder = Feeder(store, store.healthy_rows("train"), batch_size=BATCH)

    def step(number: int) -> None:
        batch = feeder.batch(number)
        optimiser.zero_grad()
        made = net(batch["image"])
        image, mean, log_variance = made[:3] if isinstance(made, tuple) else (made, None, None)
        loss = brain_mean((image - batch["image"]).square(), batch["brain"])
        if mean is not None:
            loss = loss + divergence_from_prior(mean, log_variance).sum() / batch["brain"].sum()
        loss.backward()
        optimiser.step()

    return step


def peer_of(method: Method) -> nn.Module:
    """Write a method's network with MONAI, with the same weights at the start."""
    shared = {"channels": STACK["channels"], "strides": (2, 2, 2), "kernel_size": 3, "up_kernel_size": 3}
    shared |= {"act": ("leakyrelu", {"negative_slope": 0.1}), "norm": "batch", "out_channels": 1}
    if method.name == "ae":
        net: nn.Module = AutoEncoder(spatial_dims=2, in_channels=1, **shared)
    else:
        net = VarAutoEncoder(spatial_dims=2, in_shape=(1, *SIZE), latent_size=CODE, use_sigmoid=False, **shared)
    for kind in (nn.Conv2d, nn.ConvTranspose2d, nn.Linear):
        ours, theirs = ([each for each in of.modules() if isinstance(each, kind)] for of in (method.network, net))
        for mine, yours in zip(ours, theirs, strict=True):
            yours.weight.data.copy_(mine.weight.data)
            if mine.bias is not None:
                yours.bias.data.copy_(mine.bias.data)
    return net.train()


@torch.no_grad()
def error_of(reconstruct: Callable[[Tensor], object], net: nn.Module, batch: dict[str, Tensor]) -> float:
    """Mean squared error over the brain of slices not trained on, through the mean code."""
    net.eval()
    if isinstance(net, VarAutoEncoder):
        made = net.decode_forward(net.encode_forward(batch["image"])[0], net.use_sigmoid)
    else:
        made = reconstruct(batch["image"])
    net.train()
    return brain_mean((made - batch["image"]).square(), batch["brain"]).item()


def print_profile(title: str, step: Step, first: int, *, steps: int = 10) -> None:
    """Print the operations that take the most of a step."""
    with profile(activities=[ProfilerActivity.CPU]) as found:
        for number in range(first, first + steps):
            step(number)
    events = sorted(found.key_averages(), key=lambda each: -each.self_cpu_time_total)
    total = sum(each.self_cpu_time_total for each in events)
    print(f"\n{title}: {total / steps / 1e3:.1f} ms a step\n\n| operation | ms a step | share |\n|---|---:|---:|")
    for each in events[:10]:
        own = each.self_cpu_time_total
        print(f"| `{each.key}` | {own / steps / 1e3:.2f} | {own / total:.0%} |")
    print(flush=True)


if __name__ == "__main__":
    main()
