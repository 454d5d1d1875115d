"""A cohort of small balls that stand for brains, prepared once for all tests of the package."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
from uad_data.arrays import ArraySpec, ArrayStore, build_arrays
from uad_data.cohort import Cohort

SPLITS = ("train", "train", "train", "train", "val", "val", "test", "test")


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def cohort_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight subjects, FLAIR and T1, 20 slices of 24 x 28; every second one has a lesion in four slices."""
    folder = tmp_path_factory.mktemp("cohort")
    random = np.random.default_rng(0)
    axes = [np.linspace(-1, 1, side) for side in (28, 24, 20)]
    i, j, k = np.meshgrid(*axes, indexing="ij")
    brain = i**2 + j**2 + k**2 < 0.9
    rows = []
    for number, split in enumerate(SPLITS):
        lesion = np.zeros(brain.shape, np.uint8)
        lesion[5:11, 14:19, 8:12] = number % 2
        flair = brain * (1 + 0.3 * np.sin(3 * i + random.normal()) + 0.05 * random.normal(size=brain.shape)) + lesion
        volumes = {"flair": flair, "t1": brain * (2 - flair / 2), "brain": brain, "lesion": lesion}
        row = {"subject": f"s{number}", "split": split, "pathology": "tumour" if number % 2 else "healthy"}
        for name, volume in volumes.items():
            kind = np.float32 if name in ("flair", "t1") else np.uint8
            path = folder / f"s{number}_{name}.nii.gz"
            nib.save(nib.Nifti1Image(volume.astype(kind), np.diag((-2.0, 2.0, 3.0, 1.0))), path)
            row[name if name in ("brain", "lesion") else f"image_{name}"] = path.name
        rows.append(row)
    path = folder / "cohort.csv"
    Cohort(pd.DataFrame(rows), folder).write(path)
    return path


@pytest.fixture(scope="session")
def store(cohort_csv: Path, tmp_path_factory: pytest.TempPathFactory) -> ArrayStore:
    """Its FLAIR slices, 16 x 16."""
    spec = ArraySpec(size=(16, 16))
    return build_arrays(Cohort.read(cohort_csv), spec, cache=tmp_path_factory.mktemp("cache"), progress=False)
