"""Anomaly maps and lesion masks in NIfTI files, from any program, matched by name.

The *case* of a file is its name without the ending and without the words at its end that say what it holds
(``sub-001_map.nii.gz``, ``sub-001_lesion.nii``: case ``sub-001``). Files whose names say nothing else
(``sub-001/lesion.nii.gz``), or are the same in every folder, take the names of their folders. The subject is the
``sub-<name>`` in the case, or the case.
"""

import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from numpy.typing import NDArray

from uad_eval.errors import InputError
from uad_eval.evaluation import SubjectVoxels
from uad_eval.lesionwise import add_counts, count_in_scope

_KINDS = (
    "map|anomaly|score|scores|residual|pred|prediction|lesion|mask|seg|truth|label|labels|gt|brain|flair|t1|t1ce|t2"
)
_KIND_AT_END = re.compile(rf"(?:(?:^|[_.-])(?:{_KINDS}))+$", re.IGNORECASE)
_SUBJECT = re.compile(r"sub-[A-Za-z0-9]+")
FILES = "*.nii*"


def find_cases(folder: str | Path, *, files: str = FILES) -> dict[str, Path]:
    """Find the NIfTI files of a folder, by case.

    Parameters
    ----------
    folder : path
    files : str
        Pattern of the files below the folder, such as ``"*/lesion.nii.gz"``.

    Returns
    -------
    dict of str to Path
        In the order of the files.

    Raises
    ------
    InputError
        There is no such folder or no such file, or two files are of one case.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    paths = [path for path in sorted(folder.glob(files)) if path.name.endswith((".nii", ".nii.gz"))]
    cases = [_case(path.relative_to(folder)) for path in paths]
    folders = [path.relative_to(folder).parent.as_posix() for path in paths]
    if len(set(cases)) < len(cases) == len(set(folders)):
        cases = folders
    found: dict[str, Path] = {}
    for case, path in zip(cases, paths, strict=True):
        if case in found:
            raise InputError(f"{folder}: {found[case].name} and {path.name} are both of case {case}; keep one of them")
        found[case] = path
    if not found:
        raise InputError(f"{folder}: expected NIfTI files {files} (.nii or .nii.gz), found none")
    return found


def read_subjects(
    maps: Mapping[str, Path],
    truths: Mapping[str, Path],
    *,
    brains: Mapping[str, Path] | None = None,
    thresholds: Mapping[str, float] | None = None,
) -> Iterator[SubjectVoxels]:
    """Read the cases, one subject after the other.

    Parameters
    ----------
    maps, truths : mapping of str to Path
        From :func:`find_cases`.
    brains : mapping of str to Path, optional
        Non-zero voxels are counted; without them every voxel is.
    thresholds : mapping of str to float, optional
        By protocol; the mask is ``map > threshold``.

    Yields
    ------
    SubjectVoxels
        Several cases of a subject together.

    Raises
    ------
    InputError
        A case lacks one of its files; a file is cut short, is not 3D, or lies on another grid than its map; a map is
        constant or not finite; a mask holds other than whole numbers from 0 up.
    """
    for name, others in (("lesion mask", truths), ("brain mask", brains)):
        if others is not None:
            _require(maps, others, name)
    _require(truths, maps, "map")
    by_subject: dict[str, list[str]] = {}
    for case in maps:
        match = _SUBJECT.search(case)
        by_subject.setdefault(match.group() if match else case, []).append(case)
    for subject, cases in by_subject.items():
        scores, labels, lesions = [], [], []
        for case in cases:
            brain = None if brains is None else brains[case]
            values, lesion, inside, voxel_ml = _read_case(maps[case], truths[case], brain)
            masks = {name: values > t for name, t in (thresholds or {}).items()}
            lesions.append(count_in_scope(inside[None], lesion, masks, voxel_ml=[voxel_ml]))
            scores.append(values)
            labels.append(lesion)
        values = np.concatenate(scores)
        masks = {name: values > t for name, t in (thresholds or {}).items()}
        counted = {name: add_counts([each[name] for each in lesions]) for name in masks}
        yield SubjectVoxels(subject, "", values, np.concatenate(labels), masks, counted)


def _case(path: Path) -> str:
    """Name of the case that a file, relative to its folder, belongs to."""
    stem = _KIND_AT_END.sub("", path.name.removesuffix(".gz").removesuffix(".nii"))
    return stem or path.parent.as_posix()


def _require(wanted: Mapping[str, Path], found: Mapping[str, Path], name: str) -> None:
    """Refuse cases without a file of a kind."""
    missing = sorted(set(wanted) - set(found))
    if missing:
        first = wanted[missing[0]]
        raise InputError(
            f"{first}: expected a {name} of case {missing[0]}, found none; {len(missing)} of {len(wanted)} cases lack "
            f"one. Files are matched by name: {next(iter(found.values())).name} is of case {next(iter(found))}"
        )


def _read_case(map_path: Path, truth_path: Path, brain_path: Path | None) -> tuple[NDArray, NDArray, NDArray, float]:
    """Scores and truth (v,) of the voxels that count, which they are (i, j, k), and the volume of one in ml."""
    values, affine = _read(map_path)
    if not np.isfinite(values).all():
        raise InputError(f"{map_path}: expected finite values, found NaN or infinity; mend the map before it is scored")
    if values.min() == values.max():
        raise InputError(f"{map_path}: expected an anomaly map, found the value {values.flat[0]:g} in every voxel")
    truth = _read_mask(truth_path, values, affine, map_path)
    inside = np.ones(values.shape, bool)
    if brain_path is not None:
        inside = _read_mask(brain_path, values, affine, map_path) > 0
    if not inside.any():
        raise InputError(f"{brain_path}: expected a brain mask, found no voxel in it")
    return values[inside], truth[inside], inside, float(abs(np.linalg.det(affine[:3, :3]))) / 1000


def _read(path: Path) -> tuple[NDArray, NDArray]:
    """Values (i, j, k) float32 and affine."""
    try:
        image = nib.Nifti1Image.from_filename(path)
        values = np.asarray(image.dataobj, dtype=np.float32) if len(image.shape) == 3 else None
    except (ImageFileError, OSError, EOFError, ValueError, zlib.error) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"{path}: cannot be read ({reason}); the file is cut short or no NIfTI: copy it anew"
        ) from error
    if values is None:
        raise InputError(f"{path}: expected a 3D image, found shape {image.shape}; give one volume")
    return values, image.affine


def _read_mask(path: Path, values: NDArray, affine: NDArray, beside: Path) -> NDArray:
    """Read labels on the grid of the map."""
    labels, own = _read(path)
    if labels.shape != values.shape or not np.allclose(own, affine, atol=1e-3):
        found = f"shape {labels.shape}" if labels.shape != values.shape else "another position or voxel size (affine)"
        raise InputError(
            f"{path}: expected the grid of {beside.name}, shape {values.shape}, found {found}; "
            "bring the map back to the scan's own grid"
        )
    if not (np.isfinite(labels).all() and (labels >= 0).all() and (labels == np.round(labels)).all()):
        raise InputError(f"{path}: expected a mask of whole numbers from 0 up, found values such as {_odd(labels):g}")
    return labels


def _odd(labels: NDArray) -> float:
    """Find the first value that no mask holds."""
    with np.errstate(invalid="ignore"):
        return float(labels[~((labels >= 0) & (labels == np.round(labels)))][0])
