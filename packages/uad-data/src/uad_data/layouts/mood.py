"""The Medical Out-of-Distribution Analysis challenge (Zimmerer et al., 2022), brain."""

import re
from pathlib import Path

import pandas as pd

from uad_data.layouts.layout import Layout
from uad_data.layouts.scan_files import ScanFiles, files_below

_FILE = re.compile(r"^(?P<subject>\d+)\.nii(\.gz)?$")


def index(folder: Path) -> pd.DataFrame:
    """Find the training scans of the brain.

    Parameters
    ----------
    folder : Path
        The folder ``brain`` or ``brain/brain_train``, which holds ``00000.nii.gz``.

    Returns
    -------
    DataFrame
        One row per scan, all healthy, under the modality ``mr``: the files do not name their sequence. The toy cases
        are not read.

    Raises
    ------
    InputError
        No scan, or two of one number.
    """
    scans = ScanFiles(
        folder, expected="scans such as brain_train/00000.nii.gz", hint="unpack brain_train.zip and give its folder"
    )
    for path in files_below(folder):
        match = _FILE.match(path.name)
        if match and path.parent.name == "brain_train":
            scans.add("image_mr", path, subject=match["subject"])
    return scans.table("healthy")


LAYOUT = Layout(
    name="mood",
    description="MOOD challenge, brain: MRI without anomalies for training, 256 x 256 x 256; one sequence, called mr "
    "here; the anomalous test cases are secret",
    licence="the terms of the challenge, shown when you register",
    how_to_get="register through http://medicalood.dkfz.de and unpack brain_train.zip",
    healthy="every training scan: selected by hand as without anomaly",
    index=index,
)
