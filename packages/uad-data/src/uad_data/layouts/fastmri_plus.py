"""fastMRI brain volumes with the boxes of fastMRI+ (Zhao et al., 2022)."""

import logging
import os
import re
from pathlib import Path

import pandas as pd

from uad_data.errors import InputError
from uad_data.layouts.layout import Layout
from uad_data.layouts.scan_files import ScanFiles, files_below
from uad_data.readers.fastmri import BOX_COLUMNS, NORMAL, read_boxes

logger = logging.getLogger(__name__)

_FILE = re.compile(r"^file_brain_AX(?P<kind>FLAIR|T1POST|T1PRE|T1|T2)_\d+_\d+\.h5$")
_KINDS = {"FLAIR": "flair", "T1POST": "t1ce", "T1PRE": "t1", "T1": "t1", "T2": "t2"}


def index(folder: Path) -> pd.DataFrame:
    """Pair the volumes that were annotated with their boxes.

    Parameters
    ----------
    folder : Path
        Holds ``file_brain_AXFLAIR_200_6002425.h5`` and so on, here or below, and ``brain.csv`` and
        ``brain_file_list.csv`` of fastMRI+.

    Returns
    -------
    DataFrame
        One row per volume, which counts as one subject: the files do not say which are one person's. The lesion mask
        is drawn from the boxes when it is read. The pathology is the label of most boxes in lower case, the label of
        the whole study where there is no box, or ``healthy`` where nothing was found or the label is Normal for age
        or Normal variant. Volumes that nobody annotated are left out, which is logged.

    Raises
    ------
    InputError
        No volume, one volume twice, no table, or no volume that was annotated.
    """
    paths = [path for path in files_below(folder, (".h5",)) if _FILE.match(path.name)]
    scans = ScanFiles(
        folder,
        expected="volumes such as file_brain_AXFLAIR_200_6002425.h5",
        hint="unpack fastMRI's brain data (multicoil_train, multicoil_val) here",
    )
    if not paths:
        return scans.table("")
    table, read = _table(folder, "brain.csv"), _table(folder, "brain_file_list.csv")
    boxes = read_boxes(table)
    annotated = set(read.read_text(encoding="utf-8-sig").replace(",", "\n").split()) | set(boxes["file"])
    pathologies = _pathologies(boxes)
    for path in paths:
        match = _FILE.match(path.name)
        if match and path.stem in annotated:
            scans.add(f"image_{_KINDS[match['kind']]}", path, subject=path.stem)
            if path.stem in set(boxes.dropna(subset=["width"])["file"]):
                scans.add("lesion", f"{table}#{os.path.relpath(path, table.parent)}", subject=path.stem)
    left_out = sum(path.stem not in annotated for path in paths)
    if left_out == len(paths):
        raise InputError(
            f"{folder}: expected volumes that {table.name} or {read.name} names, found none among {len(paths)}"
        )
    if left_out:
        logger.warning("%d of %d volumes were not annotated and are left out", left_out, len(paths))
    return scans.table(lambda scan: pathologies.get(scan[0], "healthy"))


def _table(folder: Path, name: str) -> Path:
    """Find a file of fastMRI+."""
    found = [path for path in files_below(folder, (".csv",)) if path.name == name]
    if len(found) != 1:
        raise InputError(
            f"{folder}: expected one {name} of fastMRI+ with the volumes, found {len(found)}; "
            "take it from https://github.com/microsoft/fastmri-plus, folder Annotations"
        )
    return found[0]


def _pathologies(boxes: pd.DataFrame) -> dict[str, str]:
    """Map volumes to the label that says most about them."""
    assert set(BOX_COLUMNS) <= set(boxes.columns)
    findings = boxes[~boxes["label"].isin(NORMAL)].assign(whole=lambda table: table["width"].isna())
    counts = findings.groupby(["file", "whole", "label"]).size().rename("count").reset_index()
    counts = counts.sort_values(["file", "whole", "count", "label"], ascending=[True, True, False, True])
    first = counts.drop_duplicates("file")
    return dict(zip(first["file"], first["label"].str.lower(), strict=True))


LAYOUT = Layout(
    name="fastmri_plus",
    description="fastMRI brain with fastMRI+: about 1000 axial FLAIR, T1, T2 and T1-after-contrast volumes with skull "
    "(.h5, which takes h5py), with boxes around 30 kinds of findings, drawn as masks",
    licence="fastMRI: the data sharing agreement of NYU; fastMRI+: see its repository",
    how_to_get="register at https://fastmri.org for the brain data; brain.csv and brain_file_list.csv from "
    "https://github.com/microsoft/fastmri-plus",
    healthy="volumes that were read without finding, or found normal for age; slices outside all boxes; one "
    "radiologist drew the boxes, and not every lesion has one",
    index=index,
)
