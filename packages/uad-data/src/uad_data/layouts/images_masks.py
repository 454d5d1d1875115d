"""Pictures with masks: sibling folders ``images/`` and ``masks/``, or one folder with ``_mask`` files."""

from pathlib import Path

import pandas as pd

from uad_data.errors import InputError
from uad_data.layouts.layout import Layout
from uad_data.readers import read_labels
from uad_data.readers.pictures import SUFFIXES, natural_key


def index(folder: Path) -> pd.DataFrame:
    """Pair every picture with its mask.

    Parameters
    ----------
    folder : Path
        Holds ``images/`` and ``masks/`` with the same names (endings may differ), or pictures ``x.png`` beside
        masks ``x_mask.png``.

    Returns
    -------
    DataFrame
        One row per picture, which counts as one subject's FLAIR. The pathology is ``healthy`` where the mask is
        empty, else ``lesion``.

    Raises
    ------
    InputError
        No picture, a picture without a mask, two pictures of one name, or a mask that cannot be read.
    """
    siblings = (folder / "images").is_dir()
    images = _pictures(folder / "images" if siblings else folder)
    if siblings:
        masks = _pictures(folder / "masks")
    else:
        masks = {name.removesuffix("_mask"): images.pop(name) for name in list(images) if name.endswith("_mask")}
    if not images:
        raise InputError(
            f"{folder}: expected pictures in images/ and masks/, or pictures beside their _mask files, found none; "
            f"endings read: {', '.join(SUFFIXES)}"
        )
    return pd.DataFrame([_row(name, path, masks, siblings) for name, path in images.items()])


def _pictures(folder: Path) -> dict[str, Path]:
    """Map names without ending to pictures, in natural order; a folder that is missing has none."""
    entries = folder.iterdir() if folder.is_dir() else ()
    paths = [path for path in entries if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")]
    found: dict[str, Path] = {}
    for path in sorted(paths, key=lambda path: natural_key(path.name)):
        if path.stem in found:
            raise InputError(f"{path}: expected one picture named {path.stem}, found also {found[path.stem].name}")
        found[path.stem] = path
    return found


def _row(name: str, path: Path, masks: dict[str, Path], siblings: bool) -> dict[str, str]:
    """Describe one picture."""
    if name not in masks:
        place = f"masks/{name}" if siblings else f"{name}_mask"
        raise InputError(
            f"{path}: expected its mask {place}{path.suffix}, found none; an empty (black) mask stands for no lesion"
        )
    lesion = read_labels(masks[name]).any()
    return {
        "subject": name,
        "pathology": "lesion" if lesion else "healthy",
        "image_flair": str(path),
        "lesion": str(masks[name]),
    }


LAYOUT = Layout(
    name="images_masks",
    description="2D axial pictures (PNG, TIFF) with masks of the same names in images/ and masks/, or beside them "
    "with the suffix _mask; one person each",
    licence="that of your data",
    how_to_get="your own folder",
    healthy="pictures whose mask is empty",
    index=index,
)
