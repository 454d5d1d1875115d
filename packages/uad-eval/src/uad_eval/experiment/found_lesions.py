"""Which lesions every method of an experiment finds, by size; connected and found as in `uad_eval.lesion_bands`."""

import numpy as np
import pandas as pd
from scipy import ndimage

from uad_eval.experiment.failures import masks_of_rows
from uad_eval.experiment.grid import Experiment
from uad_eval.lesionwise import OVERLAP
from uad_eval.protocols import HEALTHY_VALIDATION


def found_lesions(experiment: Experiment, *, protocol: str = HEALTHY_VALIDATION) -> pd.DataFrame:
    """Say of every lesion of the test people, and every method's first seed, whether it is found.

    Parameters
    ----------
    experiment : Experiment
        A finished experiment.
    protocol : str
        Whose threshold makes the masks.

    Returns
    -------
    pandas.DataFrame
        ``method, subject, pathology, volume_ml, found``; of slices, what one slice shows of a lesion is a lesion.
        Without contrasts, which `measured_lesions` measures and which take longer than the rest.

    Raises
    ------
    InputError
        The protocol has no threshold.
    """
    store, rows = experiment.store, experiment.test_rows
    positions = np.flatnonzero(store.index["lesion_voxels"].to_numpy()[rows] > 0)
    index, truth = store.index.iloc[rows[positions]], store.lesion[rows[positions]] > 0
    within = np.zeros((3,) * truth.ndim, bool)
    within[1] = True  # neighbours touch at corners, and belong to one row
    labels, count = ndimage.label(truth, within)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    item = np.array([box[0].start for box in ndimage.find_objects(labels)], np.int64)
    lesions = pd.DataFrame(
        {
            "subject": index["subject"].to_numpy()[item],
            "pathology": index["pathology"].to_numpy()[item],
            "volume_ml": sizes * index["voxel_ml"].to_numpy()[item],
        }
    )
    tables = []
    for method in dict.fromkeys(str(cell.spec) for cell in experiment.cells):
        masks = masks_of_rows(experiment, method, positions, protocol)
        marked = np.bincount(labels[masks], minlength=count + 1)[1:] / sizes
        tables.append(lesions.assign(method=method, found=marked >= OVERLAP * (1 - 1e-9)))
    return pd.concat(tables, ignore_index=True)[["method", *lesions, "found"]]
