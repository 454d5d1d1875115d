"""Measure the anomaly map of one volume by `vqvae_transformer` in 3D: time of each step, and memory; print a table.

Run ``python benchmarks/measure_healing.py`` (some minutes; two threads). The volume is 160 x 192 x 75 voxels, its 75
slices filled up to 80, so that every side is a multiple of 8; 4 samples in 2 orders. Weights are untrained: time and
memory depend on sizes and on how many codes are drawn anew, not on what was learnt. The threshold is set so that the
stated share of the volume's own codes is unlikely; codes are judged as healed, so that more or fewer may be drawn.
"""

import argparse
import math
import resource
import sys
import time
from typing import Any

import torch

from uad_models.methods.vqvae_transformer import VQVAETransformer
from uad_models.registry import create, method_class

SIZE = (80, 160, 192)
SLICES = 75
NETWORKS: dict[str, dict[str, Any]] = {
    "quick": {},
    "quick, linear attention": {"attention": "linear"},
    "quick, transformer of 8 layers of 256": {"width": 256, "depth": 8, "heads": 8},
    "the same, linear attention": {"width": 256, "depth": 8, "heads": 8, "attention": "linear"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--share", type=float, default=0.02, help="of the brain's codes drawn anew")
    parser.add_argument("--size", type=int, nargs=3, default=SIZE, metavar=("D", "H", "W"))
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    volume = ellipsoid(tuple(chosen.size))
    print(f"{' x '.join(map(str, chosen.size))} voxels, {chosen.threads} threads; memory is the whole process's most")
    print("| network | codes | drawn anew | likelihood, s | drawing, s | map in all, s | memory, MiB |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for name, network in NETWORKS.items():
        measure(name, network, volume, chosen.share)


@torch.inference_mode()
def measure(name: str, network: dict[str, Any], volume: torch.Tensor, share: float) -> None:
    """Time one network and print its row."""
    torch.manual_seed(0)
    quick = method_class("vqvae_transformer").presets["quick"].config
    settings = {**quick, **network, "size": tuple(volume.shape[2:]), "healthy_quantile": share}
    method = create("vqvae_transformer", **settings).eval()
    assert isinstance(method, VQVAETransformer)
    method.loss({"image": volume, "brain": volume != 0}, stage="prior")  # counts its codes for the threshold
    codes = method.codes(volume)
    start = time.perf_counter()
    method.unlikely(volume, codes)
    scored = time.perf_counter() - start
    start = time.perf_counter()
    drawn_anew = method.heal(volume).unlikely
    healed = time.perf_counter() - start
    start = time.perf_counter()
    method.anomaly_map(volume)
    mapped = time.perf_counter() - start
    drawn = ", ".join(str(int(sample.sum())) for sample in drawn_anew[0].flatten(0, 1))
    print(
        f"| {name} | {math.prod(method.config.grid):,} | {drawn} | {scored:.1f} | {healed - scored:.1f} | {mapped:.1f} "
        f"| {peak_mib():,.0f} |",
        flush=True,
    )


def ellipsoid(size: tuple[int, ...]) -> torch.Tensor:
    """Make a smooth bright ellipsoid with noise in 75 of 80 of the slices, ``(1, 1, d, h, w)``."""
    generator = torch.Generator().manual_seed(0)
    axes = torch.meshgrid(*(torch.linspace(-1.05, 1.05, side) for side in size), indexing="ij")
    inside = torch.stack(axes).norm(dim=0) < 1
    inside[round(size[0] * SLICES / SIZE[0]) :] = False
    return ((0.7 + 0.1 * torch.randn(size, generator=generator)).clamp(min=0.01) * inside)[None, None]


def peak_mib() -> float:
    """Most memory the process has held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


if __name__ == "__main__":
    main()
