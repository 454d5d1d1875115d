"""Time ``uad-data prepare`` step by step on whole-head scans, one thread, one process.

Reads ``UAD_REAL_DATA`` (the raw MS scans: FLAIR and T1 of one visit, thick slices, face and skull; and one IXI T1) and
prints a markdown table for docs/preparation.md. The last line is the whole scan, reading and writing included.
"""

import os
import tempfile
import time
from pathlib import Path

import pandas as pd

from uad_data.preparation.cohort import write_prepared
from uad_data.preparation.one_scan import prepare_raw
from uad_data.preparation.recipes import find_recipe


def scans(root: Path) -> dict[str, dict[str, str]]:
    """Name what is timed."""
    visit = root / "ms" / "raw" / "patient01"
    ixi = sorted(path for path in (root / "ixi").rglob("*.nii.gz") if "dlmuse" not in str(path))[0]
    return {
        "MS, FLAIR": {"flair": str(visit / "study1_FLAIR.nii.gz")},
        "MS, FLAIR and T1": {
            name: str(visit / f"study1_{file}.nii.gz") for name, file in (("flair", "FLAIR"), ("t1", "T1W"))
        },
        "IXI, T1": {"t1": str(ixi)},
    }


def main() -> None:
    """Print the table."""
    if not os.environ.get("UAD_REAL_DATA"):
        print("UAD_REAL_DATA is not set: nothing to time")
        return
    columns = {}
    for name, images in scans(Path(os.environ["UAD_REAL_DATA"])).items():
        began = time.perf_counter()
        prepared = prepare_raw(images, find_recipe("default"), subject="timed")
        with tempfile.TemporaryDirectory() as folder:
            write_prepared(prepared, Path(folder) / "timed")
        seconds = {step["step"]: step["seconds"] for step in prepared.record["steps"]}
        columns[name] = seconds | {"whole scan": round(time.perf_counter() - began, 2)}
    table = pd.DataFrame(columns)
    print("| step, seconds | " + " | ".join(table) + " |\n" + "|---" * (len(columns) + 1) + "|")
    for step, row in table.iterrows():
        print(f"| {step} | " + " | ".join(f"{value:.1f}" for value in row) + " |")


if __name__ == "__main__":
    main()
