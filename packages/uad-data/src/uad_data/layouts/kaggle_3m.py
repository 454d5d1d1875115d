"""The LGG segmentation data set (Buda et al., 2019), known by its folder's name ``kaggle_3m``."""

import re
from pathlib import Path

import numpy as np
import pandas as pd

from uad_data.errors import InputError
from uad_data.layouts.layout import Layout
from uad_data.readers import read_volume
from uad_data.readers.pictures import natural_key

_CASE = re.compile(r"^(?P<subject>TCGA_[A-Z0-9]+_[A-Z0-9]+)_(?P<session>\d+)$")
_CHANNELS = {"t1": 0, "flair": 1, "t1ce": 2}


def index(folder: Path) -> pd.DataFrame:
    """Find every patient's folder of slices.

    Parameters
    ----------
    folder : Path
        The folder ``kaggle_3m``.

    Returns
    -------
    DataFrame
        One row per patient, each sequence a stack of pictures. Where a channel is a copy of FLAIR, which stands in
        for a sequence that was not measured, its cell is empty.

    Raises
    ------
    InputError
        No patient, or a slice without a mask.
    """
    cases = [path for path in sorted(folder.iterdir()) if path.is_dir() and _CASE.match(path.name)]
    if not cases:
        raise InputError(
            f"{folder}: expected patients' folders such as TCGA_CS_4942_19970222, found none; "
            "give the folder kaggle_3m itself"
        )
    return pd.DataFrame([_row(case) for case in cases])


def _row(case: Path) -> dict[str, str]:
    """Describe one patient."""
    slices = sorted((path.name for path in case.glob(f"{case.name}_*[0-9].tif")), key=natural_key)
    if not slices:
        raise InputError(f"{case}: expected slices such as {case.name}_1.tif, found none; the download is incomplete")
    for name in slices:
        mask = case / name.replace(".tif", "_mask.tif")
        if not mask.is_file():
            raise InputError(f"{case / name}: expected its mask {mask.name} beside it, found none")
    match = _CASE.match(case.name)
    assert match is not None
    copies = _copies([case / name for name in slices])
    stack = case / f"{case.name}_*[0-9].tif"
    return {
        "subject": match["subject"],
        "session": match["session"],
        "pathology": "lgg",
        **{f"image_{name}": "" if name in copies else f"{stack}#{channel}" for name, channel in _CHANNELS.items()},
        "lesion": str(case / f"{case.name}_*_mask.tif"),
    }


def _copies(slices: list[Path]) -> set[str]:
    """Name the sequences whose middle three slices equal FLAIR's."""
    start = max(len(slices) // 2 - 1, 0)
    channels = {
        name: np.stack([read_volume(f"{path}#{channel}")[0] for path in slices[start : start + 3]])
        for name, channel in _CHANNELS.items()
    }
    return {name for name in ("t1", "t1ce") if np.array_equal(channels[name], channels["flair"])}


LAYOUT = Layout(
    name="kaggle_3m",
    description="LGG segmentation (TCGA-LGG): lower-grade glioma, 2D axial slices of T1, FLAIR and T1 after contrast, "
    "most with skull, with masks of the FLAIR abnormality",
    licence="images CC BY 3.0, masks CC BY-NC-SA 4.0: research only",
    how_to_get="https://www.kaggle.com/datasets/mateuszbuda/lgg-mri-segmentation; give the folder kaggle_3m",
    healthy="no healthy people: slices without tumour",
    index=index,
)
