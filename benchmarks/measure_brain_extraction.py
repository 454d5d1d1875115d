"""Measure the brain extraction on real whole heads with an independent segmentation, and print the table.

Run ``UAD_REAL_DATA=/path/to/data python benchmarks/measure_brain_extraction.py [--extractor template] [--workers 2]``.
It reads the T1 heads of ``ixi`` (healthy adults, 2 mm) and takes every DLMUSE label above 0 for brain. The constants of
the extractor "template" were chosen on the first ten heads by name; the others are reported apart.
"""

import argparse
import os
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from uad_data.brain_extraction import EXTRACTORS, extract_brain
from uad_data.readers import read_labels, read_volume

CHOSEN_ON = 10


def measure(scan: Path, extractor: str) -> tuple[str, float, float, float]:
    """Return the head's name, Dice, volume relative to the labels and seconds of a core."""
    volume, affine = read_volume(scan)
    (labels,) = (scan.parents[1] / "dlmuse").glob(f"{scan.name.split('_')[0]}*")
    truth = read_labels(labels) > 0
    start = time.process_time()
    brain = extract_brain(volume, affine, extractor=extractor)
    seconds = time.process_time() - start
    dice = 2 * (brain & truth).sum() / (brain.sum() + truth.sum())
    return scan.name.split("-")[0], float(dice), float(brain.sum() / truth.sum()), seconds


def main() -> None:
    parser = argparse.ArgumentParser(description="Brain extraction against DLMUSE on the IXI heads")
    parser.add_argument("--extractor", default="template", choices=list(EXTRACTORS))
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    scans = sorted(Path(os.environ["UAD_REAL_DATA"], "ixi/t1").glob("*.nii.gz"))
    print("| head | Dice | volume / labels | seconds |\n|---|---|---|---|")
    figures = []
    with ProcessPoolExecutor(options.workers) as pool:
        for name, *row in pool.map(partial(measure, extractor=options.extractor), scans):
            figures.append(row)
            print(f"| {name} | {row[0]:.3f} | {row[1]:.3f} | {row[2]:.0f} |", flush=True)
    table = np.array(figures)
    for name, rows in (("first 10", table[:CHOSEN_ON]), ("other", table[CHOSEN_ON:]), ("all", table)):
        print(
            f"| {name} ({len(rows)}): mean (worst) | {rows[:, 0].mean():.3f} ({rows[:, 0].min():.3f}) "
            f"| {rows[:, 1].mean():.3f} | {rows[:, 2].mean():.0f} |"
        )


if __name__ == "__main__":
    main()
