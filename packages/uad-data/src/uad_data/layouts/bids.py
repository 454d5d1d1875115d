"""Any BIDS tree, read through the library ancpbids."""

import re
from pathlib import Path
from typing import Any

import pandas as pd

from uad_data.errors import InputError
from uad_data.layouts.clinical import pathology_of, read_clinical
from uad_data.layouts.layout import Layout
from uad_data.layouts.scan_files import Scan, ScanFiles
from uad_data.readers import read_labels

_SUFFIXES = {"T1w": "t1", "T2w": "t2", "FLAIR": "flair", "PDw": "pd", "ct": "ct"}
_ENDINGS = [".nii", ".nii.gz"]
_GROUPS = ("group", "diagnosis", "dx", "pathology")
# A mask in another space than the raw scan's does not lie on it.
_OWN_SPACES = {"", "orig", "individual", "native", "t1w", "t2w", "flair", "ct"}


def index(folder: Path) -> pd.DataFrame:
    """Find the structural scans of the raw data and the masks, there or under ``derivatives/``.

    Parameters
    ----------
    folder : Path
        The root of the tree, which holds ``sub-01/``.

    Returns
    -------
    DataFrame
        One row per subject and session. Suffixes T1w (with ``ce-``: T1 after contrast), T2w, FLAIR, PDw and ct are
        read; of several runs, the first by name. A mask whose label or description says lesion, or a bare ``_mask``,
        is the lesion mask; one that says brain, the brain's; masks of other spaces are not read. The pathology is
        the column group, diagnosis, dx or pathology of ``participants.tsv``, ``healthy`` for the usual words for
        controls; without such a column, ``lesion`` or ``healthy`` by the mask, and ``unknown`` without one.

    Raises
    ------
    InputError
        No scan, a tree that cannot be read, two lesion masks for one scan, a mask without scan, or a subject that
        ``participants.tsv`` does not have.
    """
    scans = ScanFiles(
        folder,
        expected="scans such as sub-01/anat/sub-01_T1w.nii.gz",
        hint=f"give the root of the BIDS tree; suffixes read: {', '.join(_SUFFIXES)}",
    )
    tree = _open(folder)
    for path, entities, suffix in _get(tree, list(_SUFFIXES), "raw"):
        modality = "t1ce" if suffix == "T1w" and "ce" in entities else _SUFFIXES[suffix]
        subject, session = _scan(entities)
        scans.add(f"image_{modality}", path, subject=subject, session=session, first_of_several=True)
    masks: dict[Scan, Path] = {}
    for path, entities, _ in _get(tree, ["mask"], "all"):
        column = _mask_column(entities)
        if column:
            subject, session = scan = _scan(entities)
            if not scans.has_image(scan):
                raise InputError(f"{path}: expected a scan that this mask belongs to, found none in the raw data")
            scans.add(column, path, subject=subject, session=session)
            if column == "lesion":
                masks[scan] = path
    groups = _groups(folder)
    return scans.table(lambda scan: _pathology(folder, groups, scan[0], masks.get(scan)))


def _open(folder: Path) -> Any:
    """Read the tree's file names."""
    # Imported here: it takes a while, and only this layout needs it.
    from ancpbids.pybids_compat import BIDSLayout

    try:
        return BIDSLayout(str(folder))
    # The library raises whatever a broken description leads it to.
    except Exception as error:
        raise InputError(
            f"{folder}: expected a BIDS tree, found one that cannot be read ({type(error).__name__}: {error}); "
            "check it with the BIDS validator"
        ) from error


def _get(tree: Any, suffixes: list[str], scope: str) -> list[tuple[Path, dict[str, str], str]]:
    """List (path, entities, suffix) of the files with these suffixes."""
    found = tree.get(suffix=suffixes, extension=_ENDINGS, scope=scope, return_type="object")
    files = [(Path(file.get_absolute_path()), file.suffix) for file in found]
    return sorted((path, dict(re.findall(r"(?:^|_)([a-z]+)-([A-Za-z0-9]+)", path.name)), s) for path, s in files)


def _scan(entities: dict[str, str]) -> Scan:
    """Name the scan that a file belongs to."""
    return f"sub-{entities['sub']}", entities.get("ses", "")


def _mask_column(entities: dict[str, str]) -> str:
    """Say what a mask shows; empty for masks of other things and other spaces."""
    if entities.get("space", "").lower() not in _OWN_SPACES:
        return ""
    words = [entities[name].lower() for name in ("label", "desc") if name in entities]
    if not words or any("lesion" in word or word == "l" for word in words):
        return "lesion"
    return "brain" if "brain" in words else ""


def _groups(folder: Path) -> dict[str, str] | None:
    """Map subjects to groups; None where the participants' table has none."""
    path = folder / "participants.tsv"
    if not path.is_file():
        return None
    table = read_clinical(path)
    column = next((name for name in table if name.lower() in _GROUPS), None)
    if column is None or "participant_id" not in table:
        return None
    return dict(zip(table["participant_id"], table[column], strict=True))


def _pathology(folder: Path, groups: dict[str, str] | None, subject: str, mask: Path | None) -> str:
    """Name a scan's pathology."""
    if groups is not None:
        if subject not in groups:
            raise InputError(f"{folder / 'participants.tsv'}: expected a row for {subject}, found none; add it")
        return pathology_of(groups[subject])
    if mask is None:
        return "unknown"
    return "lesion" if read_labels(mask).any() else "healthy"


LAYOUT = Layout(
    name="bids",
    description="any BIDS tree: T1w, T2w, FLAIR, PDw and ct; lesion and brain masks among the raw data or the "
    "derivatives; diagnosis from participants.tsv",
    licence="that of the data set: see its dataset_description.json",
    how_to_get="your own tree, or one of https://openneuro.org",
    healthy="subjects whose group or diagnosis in participants.tsv says control; without such a column, scans whose "
    "mask is empty",
    index=index,
)
