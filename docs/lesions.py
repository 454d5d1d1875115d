"""Draw docs/lesions.png: each kind of made-up lesion on the phantom, with its hard label.

Run ``uad-data phantom --subjects 2 --out PHANTOM``, then ``python docs/lesions.py PHANTOM docs/lesions.png``.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import torch

from uad_data import ArraySpec, Cohort
from uad_data.arrays import prepare_scan
from uad_data.corruptions.lesions import KINDS


def main(phantom: Path, out: Path) -> None:
    """Draw a row of five draws for each kind."""
    cohort = Cohort.read(phantom / "cohort.csv")
    healthy = list(cohort.table["pathology"]).index("healthy")
    scan = prepare_scan(cohort.load(healthy, ["flair"]), ArraySpec(modalities=("flair",)))
    middle = len(scan.image) // 2
    rows = [middle - 6, middle - 3, middle, middle + 3, middle + 6]
    image, brain = torch.from_numpy(scan.image[rows]).float(), torch.from_numpy(scan.brain[rows])[:, None]
    figure, axes = plt.subplots(len(rows), len(KINDS), figsize=(1.2 * len(KINDS), 6.2), layout="constrained")
    for column, (name, kind) in enumerate(KINDS.items()):
        made = kind(image, brain, generator=torch.Generator().manual_seed(1))
        axes[0, column].set_title(name.replace("_", "\n"), fontsize=8)
        for axis, slice_, mask in zip(axes[:, column], made.image[:, 0], made.mask[:, 0], strict=True):
            axis.imshow(slice_.flip(0), cmap="gray", vmin=0, vmax=1.2)
            if mask.any():
                axis.contour(mask.flip(0), [0.5], colors="tab:red", linewidths=0.5)
            axis.axis("off")
    figure.savefig(out, dpi=90)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
