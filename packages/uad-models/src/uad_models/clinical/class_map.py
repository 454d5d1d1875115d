"""Which part of a lesion each voxel is, for runs that learned to tell parts apart by labels."""

from dataclasses import dataclass

import numpy as np
import torch

from uad_data.arrays import PreparedScan
from uad_data.preparation.way_back import WayBack
from uad_models.devices import open_fabric
from uad_models.labelled.segmenter import Segmenter


@dataclass(frozen=True, eq=False, kw_only=True)
class ClassMap:
    """The parts of the lesions of one scan.

    Parameters
    ----------
    values
        Label value of each class by name, as the training's labels have them.
    labels
        ``(d, h, w)`` uint8 on the grid of the scan's first file, turned to RAS+: the value of a class, 0 outside the
        mask.
    """

    values: dict[str, int]
    labels: np.ndarray

    def voxels(self) -> dict[str, int]:
        """Count the voxels of each class.

        Returns
        -------
        dict of str to int
            In the order of the training.
        """
        counts = np.bincount(self.labels.ravel(), minlength=256)
        return {name: int(counts[value]) for name, value in self.values.items()}


@torch.inference_mode()
def class_map(
    method: Segmenter,
    items: PreparedScan,
    way_back: WayBack,
    mask: np.ndarray,
    *,
    batch_size: int = 32,
    accelerator: str = "auto",
) -> ClassMap:
    """Give every voxel of a mask the likeliest class.

    Probabilities are taken to the scan's own grid and compared there: classes taken there would have staircases.

    Parameters
    ----------
    method
        Trained on named classes.
    items
        The scan as the method sees it.
    way_back
        From the prepared grid to the scan's own.
    mask
        ``(d, h, w)`` bool, on the scan's own grid.
    batch_size
        Items at a time.
    accelerator
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.

    Returns
    -------
    ClassMap
        Of two classes as likely as each other the first.
    """
    device = open_fabric(accelerator=accelerator).device
    method = method.to(device).eval()
    batches = torch.from_numpy(items.image).split(batch_size)
    found = torch.cat([method.probabilities(x.to(device).float()).cpu() for x in batches]).numpy()
    labels, likeliest = np.zeros(mask.shape, np.uint8), np.full(mask.shape, -np.inf, np.float32)
    for number, value in enumerate(method.config.class_values.values(), start=1):
        probability = way_back.to_native(items.to_native(found[:, number]))
        better = mask & (probability > likeliest)
        labels[better], likeliest[better] = value, probability[better]
    return ClassMap(values=method.config.class_values, labels=labels)
