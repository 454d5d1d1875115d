"""IXI: healthy adults from three London hospitals."""

import re
from pathlib import Path

import pandas as pd

from uad_data.layouts.layout import Layout
from uad_data.layouts.scan_files import ScanFiles, files_below

_FILE = re.compile(
    r"^(?P<subject>IXI\d+)-(?P<site>[A-Za-z]+)-(?P<number>\d+)[-_](?P<kind>T1|T2|PD)(?P<brain>_DLMUSE)?\.nii(\.gz)?$"
)


def index(folder: Path) -> pd.DataFrame:
    """Find T1, T2 and PD of every person.

    Parameters
    ----------
    folder : Path
        Holds ``IXI002-Guys-0828-T1.nii.gz``, in ``IXI-T1/``, ``IXI-T2/`` and ``IXI-PD/`` or anywhere below. Brain
        labels ``IXI002-Guys-0828-T1_DLMUSE.nii.gz`` become brain masks. Other files are not read.

    Returns
    -------
    DataFrame
        One row per person, all healthy. T1 lies on another grid than T2 and PD.

    Raises
    ------
    InputError
        No scan, two files for one sequence of a person, or brain labels without their scan.
    """
    scans = ScanFiles(
        folder,
        expected="files such as IXI-T1/IXI002-Guys-0828-T1.nii.gz",
        hint="unpack IXI-T1.tar, IXI-T2.tar or IXI-PD.tar here",
    )
    for path in files_below(folder):
        match = _FILE.match(path.name)
        if match:
            column = "brain" if match["brain"] else f"image_{match['kind'].lower()}"
            scans.add(column, path, subject=match["subject"])
    scans.require("image_t1", where=lambda scan: scans.has("brain", scan))
    return scans.table("healthy")


LAYOUT = Layout(
    name="ixi",
    description="IXI: 600 healthy adults, T1, T2 and PD of the whole head, from three hospitals (1.5 T and 3 T)",
    licence="CC BY-SA 3.0",
    how_to_get="https://brain-development.org/ixi-dataset: unpack IXI-T1.tar, IXI-T2.tar and IXI-PD.tar",
    healthy="everyone",
    index=index,
)
