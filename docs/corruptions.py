"""Draw docs/corruptions.png: each corruption on one slice of the phantom.

Run ``uad-data phantom --subjects 2 --out PHANTOM``, then ``python docs/corruptions.py PHANTOM docs/corruptions.png``.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import torch

from uad_data import ArraySpec, Cohort
from uad_data.arrays import prepare_scan
from uad_data.corruptions import CORRUPTIONS


def main(phantom: Path, out: Path) -> None:
    """Draw a row of three draws for each corruption."""
    cohort = Cohort.read(phantom / "cohort.csv")
    healthy = list(cohort.table["pathology"]).index("healthy")
    scan = prepare_scan(cohort.load(healthy, ["flair"]), ArraySpec(modalities=("flair",)))
    middle = len(scan.image) // 2
    rows = [middle, middle - 6, middle + 6]
    image = torch.from_numpy(scan.image[rows]).float()
    brain = torch.from_numpy(scan.brain[rows])[:, None]
    names = sorted(name for name, function in CORRUPTIONS.items() if ".lesions." not in function.__module__)
    figure, axes = plt.subplots(3, len(names) + 1, figsize=(1.2 * (len(names) + 1), 3.9), layout="constrained")
    for column, name in enumerate(["healthy", *names]):
        shown = image
        if name in names:
            result = CORRUPTIONS[name](image, brain, generator=torch.Generator().manual_seed(3))
            shown = result if torch.is_tensor(result) else result.image
        axes[0, column].set_title(name.replace("_", "\n"), fontsize=8)
        for axis, slice_ in zip(axes[:, column], shown[:, 0], strict=True):
            axis.imshow(slice_.flip(0), cmap="gray", vmin=0, vmax=1)
            axis.axis("off")
    figure.savefig(out, dpi=100)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
