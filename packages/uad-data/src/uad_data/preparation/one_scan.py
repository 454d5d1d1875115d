"""One person's raw files through a recipe."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from uad_data.errors import InputError
from uad_data.preparation.plausible import check_plausible
from uad_data.preparation.recipe import Recipe
from uad_data.preparation.resampling import resample_labels
from uad_data.preparation.steps import Register
from uad_data.preparation.study import Study
from uad_data.preparation.way_back import WayBack
from uad_data.quality.measures import measure
from uad_data.readers import read_affine, read_labels, read_volume, source_files
from uad_data.scaling import scale
from uad_data.scan import Scan

# Raise it whenever the same recipe gives other files.
PREPARED_FORMAT = 1
_LIBRARIES = ("uad-data", "SimpleITK", "nilearn", "scipy", "numpy")


@dataclass(frozen=True, eq=False)
class Prepared:
    """A scan in prepared space.

    Parameters
    ----------
    scan : Scan
        What methods see.
    way_back : WayBack
        To the raw scan's grid.
    record : dict
        What ``prepare.json`` holds, as JSON types.
    """

    scan: Scan
    way_back: WayBack
    record: dict[str, Any]


def prepare_raw(
    images: Mapping[str, str],
    recipe: Recipe,
    *,
    brain: str = "",
    lesion: str = "",
    subject: str,
    session: str = "",
    pathology: str = "unknown",
) -> Prepared:
    """Take one person's raw files through a recipe.

    Parameters
    ----------
    images : mapping of str to str
        Modality to source (see `uad_data.readers`). The first is the reference: its grid is the raw grid, and masks
        are in its space.
    recipe : Recipe
        What to do.
    brain, lesion : str, optional
        Masks; a brain mask given is used and none is looked for.
    subject, session, pathology : str
        As in `Scan`.

    Returns
    -------
    Prepared

    Raises
    ------
    InputError
        A file cannot be used or a step fails; the message names the file or the step.
    """
    volumes = {name: read_volume(source) for name, source in images.items()}
    for name, (volume, affine) in volumes.items():
        check_plausible(volume, affine, modality=name, source=images[name])
    masks = {
        name: (read_labels(source), read_affine(source))
        for name, source in (("brain", brain), ("lesion", lesion))
        if source
    }
    study = Study.begin(volumes, **masks)
    steps = []
    uncropped = study
    for step in recipe.steps:
        if step.name == "crop":
            uncropped = replace(study)
        began = time.perf_counter()
        try:
            found = step.apply(study)
        except InputError as error:
            raise InputError(f"{images[study.reference]}: step {step.name}: {error}") from error
        steps.append({"step": step.name, "found": found, "seconds": round(time.perf_counter() - began, 2)})
    scan = _finish(study, subject=subject, session=session, pathology=pathology)
    way_back = study.way_back()
    record = {
        **prepared_key(images, recipe, brain=brain, lesion=lesion),
        "subject": subject,
        "session": session,
        "modalities": list(images),
        "steps": steps,
        **way_back.to_dict(),
        "template": study.template,
        "versions": {name: version(name) for name in _LIBRARIES},
        "quality": _quality(scan, study if uncropped is study else replace(uncropped, brain=study.brain), study),
    }
    return Prepared(scan, way_back, record)


def prepared_key(images: Mapping[str, str], recipe: Recipe, *, brain: str = "", lesion: str = "") -> dict[str, Any]:
    """Give what a prepared scan depends on: two equal keys make the same files.

    Parameters
    ----------
    images, recipe, brain, lesion
        As for `prepare_raw`.

    Returns
    -------
    dict
        ``format``, ``recipe`` and ``sources`` as in ``prepare.json``.

    Raises
    ------
    InputError
        A file is missing.
    """
    sources = {name: _source(path) for name, path in _sources(images, recipe, brain=brain, lesion=lesion).items()}
    return {"format": PREPARED_FORMAT, "recipe": recipe.to_dict(), "sources": sources}


def _finish(study: Study, *, subject: str, session: str, pathology: str) -> Scan:
    """Interpolate every sequence and mask once, and scale."""
    brain = study.brain_view()
    image = np.stack([study.view(name) for name in study.images])
    if study.scaling:
        image = scale(image, brain, study.scaling)
    lesion = None if study.lesion is None else study.mask(study.lesion)
    if lesion is None and pathology == "healthy":
        lesion = np.zeros(study.shape, np.uint8)
    return Scan(
        image=np.ascontiguousarray(image, np.float32),
        brain=brain,
        lesion=lesion,
        affine=np.asarray(study.affine, np.float64),
        modalities=tuple(study.images),
        subject=subject,
        pathology=pathology,
        session=session,
    )


def _quality(scan: Scan, uncropped: Study, study: Study) -> dict[str, Any]:
    """Measure the scan, on the grid that a crop has not yet cut the brain on."""
    template = uncropped.template_brain
    w, h, d = np.linalg.norm(uncropped.affine[:3, :3], axis=0)
    return measure(
        scan.image if uncropped is study else np.stack([uncropped.view(name) for name in uncropped.images]),
        uncropped.brain_view(),
        spacing=(float(d), float(h), float(w)),
        template_brain=None
        if template is None
        else resample_labels(template.volume, template.affine, shape=uncropped.shape, to=uncropped.affine) > 0,
        way_back=uncropped.way_back(),
    )


def _sources(images: Mapping[str, str], recipe: Recipe, *, brain: str, lesion: str) -> dict[str, str]:
    """Name every file that is read, a template of the user's own among them."""
    named = {**images, "brain": brain, "lesion": lesion}
    for step in recipe.steps:
        if isinstance(step, Register) and Path(step.template).is_file():
            named["template"] = step.template
    return {name: path for name, path in named.items() if path}


def _source(path: str) -> dict[str, Any]:
    """Tell one version of a file from another."""
    stats = [file.stat() for file in source_files(path)]
    return {
        "path": str(path),
        "bytes": sum(stat.st_size for stat in stats),
        "mtime_ns": max(stat.st_mtime_ns for stat in stats),
    }
