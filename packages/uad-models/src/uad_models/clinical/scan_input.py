"""What a prediction starts from: a raw scan that is prepared as the run's were, or one that needs nothing.

Axes: ``d h w`` a grid turned to RAS+, see `uad_data.scan.Scan`.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from uad_data.cohort import Cohort
from uad_data.errors import InputError
from uad_data.preparation.way_back import WayBack
from uad_data.quality.measures import measure
from uad_data.readers import map_ending, read_volume
from uad_data.scan import Scan
from uad_models.run_folder import RunConfig

NIFTI = (".nii.gz", ".nii")
_SIDECAR = "prepare.json"
# Prepared intensities lie near 0 to 1; scanners write hundreds.
_MOST_PREPARED = 10.0


@dataclass(frozen=True, kw_only=True)
class Files:
    """The files of one scan.

    Parameters
    ----------
    images
        Modality to source (see `uad_data.readers`), in the run's order. Results go onto the first one's grid.
    brain
        A brain mask on the first one's grid; empty to find the brain.
    subject, session
        Names.
    """

    images: Mapping[str, str]
    brain: str = ""
    subject: str
    session: str = ""

    @property
    def first(self) -> str:
        """The source whose grid results go onto."""
        return next(iter(self.images.values()))

    @property
    def is_picture(self) -> bool:
        """Whether the scan is made of pictures, which know no millimetres."""
        return map_ending(self.first) == ".tif"


@dataclass(frozen=True, eq=False, kw_only=True)
class OpenedScan:
    """A scan as the method sees it, and as its file holds it.

    Parameters
    ----------
    scan
        In prepared space; on the file's own grid where nothing was to be prepared.
    way_back
        From there to the file's grid; it changes nothing where nothing was to be prepared.
    native
        ``(d, h, w)`` the first sequence on the file's grid.
    template
        What the scan was registered to, or None.
    quality
        Of `uad_data.quality.measures.measure`; empty for pictures.
    prepared
        ``"now"`` by this prediction, ``"before"``, or ``"no"``.
    """

    scan: Scan
    way_back: WayBack
    native: np.ndarray
    template: str | None
    quality: dict[str, Any]
    prepared: str


def open_scan(files: Files, config: RunConfig, *, prepared: bool = False) -> OpenedScan:
    """Read a scan, and prepare it by the run's recipe unless it is prepared already.

    Parameters
    ----------
    files
        The scan.
    config
        Of the run.
    prepared
        The scan went through the run's recipe before. A file that ``uad-data prepare`` wrote is known by the
        ``prepare.json`` beside it.

    Returns
    -------
    OpenedScan

    Raises
    ------
    InputError
        A file or a step of the recipe fails, or the scan was prepared by another recipe than the run's.
    """
    record = _record(files)
    if record and not _same_steps(record["recipe"], config.recipe):
        raise InputError(
            f"{files.first}: expected a scan prepared by {_name(config.recipe)}, as the run was trained with, found "
            f"one prepared by {_name(record['recipe'])}; give the raw scan"
        )
    if prepared and not config.recipe:
        raise InputError("prepared: the run was trained on scans as they were, so that there is nothing to prepare")
    if config.recipe and not prepared and not record:
        return _prepare(files, config.recipe)
    scan = _load(files, brain_beside=bool(record))
    if config.recipe:
        _check_prepared(scan, files, config)
    quality = (record or {}).get("quality") or ({} if files.is_picture else _measure(scan))
    return OpenedScan(
        scan=scan,
        way_back=WayBack(scan.brain.shape, scan.affine, scan.brain.shape, scan.affine, np.eye(4)),
        native=scan.image[0],
        template=record.get("template") if record else _template(config.recipe),
        quality=quality,
        prepared="before" if config.recipe else "no",
    )


def check_cohort(cohort: Cohort, config: RunConfig) -> bool:
    """Tell whether the scans of a cohort went through the run's recipe.

    Parameters
    ----------
    cohort
        The scans.
    config
        Of the run.

    Returns
    -------
    bool

    Raises
    ------
    InputError
        They went through another one.
    """
    recipe = cohort.recipe
    if recipe and not _same_steps(recipe, config.recipe):
        raise InputError(
            f"cohort {cohort.root}: expected scans prepared by {_name(config.recipe)}, as the run was trained with, "
            f"found {_name(recipe)}; give the raw cohort, or prepare it by that recipe"
        )
    return bool(recipe)


def _prepare(files: Files, recipe: Mapping[str, Any]) -> OpenedScan:
    """Take raw files through a recipe."""
    # Imported here: registration and bias correction take seconds to load, and most predictions need neither.
    from uad_data.preparation.one_scan import prepare_raw
    from uad_data.preparation.recipe import Recipe

    made = prepare_raw(
        files.images,
        Recipe.from_dict(recipe),
        brain=files.brain,
        subject=files.subject,
        session=files.session,
    )
    return OpenedScan(
        scan=made.scan,
        way_back=made.way_back,
        native=read_volume(files.first)[0],
        template=made.record["template"],
        quality=made.record["quality"],
        prepared="now",
    )


def _load(files: Files, *, brain_beside: bool) -> Scan:
    """Read files that need no preparation."""
    brain = files.brain
    beside = Path(files.first).with_name("brain.nii.gz")
    if brain_beside and not brain and beside.is_file():
        brain = str(beside)
    images = {f"image_{name}": os.path.abspath(path) for name, path in files.images.items()}
    row = {"subject": files.subject, "session": files.session, "pathology": "", **images}
    row["brain"] = os.path.abspath(brain) if brain else ""
    return Cohort(pd.DataFrame([row]), Path()).load(0, modalities=tuple(files.images))


def _record(files: Files) -> dict[str, Any] | None:
    """Read what ``uad-data prepare`` wrote beside a prepared scan; None beside others."""
    try:
        record = json.loads(Path(files.first).with_name(_SIDECAR).read_text(encoding="utf-8"))
        raw = {os.path.abspath(source["path"]) for source in record["sources"].values()}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return None if os.path.abspath(files.first) in raw or "recipe" not in record else record


def _check_prepared(scan: Scan, files: Files, config: RunConfig) -> None:
    """Refuse scanner's intensities where the recipe would have scaled them."""
    if config.spec.scaling != "none":
        return
    high = float(np.quantile(np.abs(scan.image[:, scan.brain]), 0.99))
    if high > _MOST_PREPARED:
        raise InputError(
            f"{files.first}: expected a prepared scan with intensities near 0 to 1, found values up to {high:g}; it "
            "looks raw: leave out --prepared"
        )


def _measure(scan: Scan) -> dict[str, Any]:
    """Measure a scan that came without a record."""
    return measure(scan.image, scan.brain, spacing=scan.spacing)


def _same_steps(one: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> bool:
    """Compare what two recipes do to a scan."""
    return (one or {}).get("steps") == (other or {}).get("steps")


def _name(recipe: Mapping[str, Any] | None) -> str:
    """Name a recipe for a message, with its steps, since recipes of one name may differ."""
    if not recipe:
        return "no recipe"
    return f"recipe {recipe.get('name')!r} ({', '.join(step['step'] for step in recipe['steps'])})"


def _template(recipe: Mapping[str, Any] | None) -> str | None:
    """Name the template that a recipe registers to."""
    steps = (recipe or {}).get("steps", ())
    return next((step["template"] for step in steps if step["step"] == "register"), None)
