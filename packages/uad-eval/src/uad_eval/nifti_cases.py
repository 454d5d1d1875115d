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
from typing import NamedTuple

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from numpy.typing import NDArray

from uad_eval.empty_cases import LESION
from uad_eval.errors import InputError
from uad_eval.evaluation import SubjectVoxels
from uad_eval.lesionwise import add_counts, count_in_scope
from uad_eval.mask_shape import mean_shape, shapes_in_scope
from uad_eval.samples import SliceScores

_KINDS = (
    "map|anomaly|score|scores|residual|pred|prediction|lesion|mask|seg|truth|label|labels|gt|brain|flair|t1|t1ce|t2"
)
_KIND_AT_END = re.compile(rf"(?:(?:^|[_.-])(?:{_KINDS}))+$", re.IGNORECASE)
_SUBJECT = re.compile(r"sub-[A-Za-z0-9]+")
FILES = "*.nii*"
WHOLE = (0.0, 1.0)


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
    pathologies: Mapping[str, str] | None = None,
    slices: tuple[float, float] = WHOLE,
    empty: str = LESION,
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
    pathologies : mapping of str to str, optional
        By subject; all others have none.
    slices : (low, high)
        Only axial slices that lie within these shares of the brain's height (of the scan's without brain masks), from
        feet (0) to head (1).
    empty : str
        Rule for empty masks and truths, which distances need (:mod:`uad_eval.empty_cases`).

    Yields
    ------
    SubjectVoxels
        Several cases of a subject together.

    Raises
    ------
    InputError
        A case lacks one of its files; a file is cut short, is not 3D, or lies on another grid than its map; a map is
        constant or not finite; a mask holds other than whole numbers from 0 up; or the slices are no rising shares.
    """
    if not 0 <= slices[0] < slices[1] <= 1:
        raise InputError(f"slices: expected LOW:HIGH with 0 <= LOW < HIGH <= 1, found {slices[0]:g}:{slices[1]:g}")
    for name, others in (("lesion mask", truths), ("brain mask", brains)):
        if others is not None:
            _require(maps, others, name)
    _require(truths, maps, "map")
    by_subject: dict[str, list[str]] = {}
    for case in maps:
        match = _SUBJECT.search(case)
        by_subject.setdefault(match.group() if match else case, []).append(case)
    for subject, cases in by_subject.items():
        scores, labels, lesions, shapes, scored = [], [], [], [], []
        for case in cases:
            brain = None if brains is None else brains[case]
            read = read_case(maps[case], truths[case], brain, slices=slices)
            values, lesion = read.scores[read.inside], read.truth[read.inside]
            masks = {name: values > t for name, t in (thresholds or {}).items()}
            inside, spacing = read.inside[None], read.spacing[None]
            lesions.append(count_in_scope(inside, lesion, masks, voxel_ml=[float(spacing.prod()) / 1000]))
            shapes.append(shapes_in_scope(inside, lesion, masks, spacing=spacing, empty=empty))
            scored.append(_slice_scores(read, case))
            scores.append(values)
            labels.append(lesion)
        values = np.concatenate(scores)
        masks = {name: values > t for name, t in (thresholds or {}).items()}
        yield SubjectVoxels(
            subject,
            (pathologies or {}).get(subject, ""),
            values,
            np.concatenate(labels),
            masks,
            lesions={name: add_counts([each[name] for each in lesions]) for name in masks},
            shapes={name: mean_shape([each[name] for each in shapes]) for name in masks},
            slices=SliceScores(*(np.concatenate(column) for column in zip(*scored, strict=True))),
        )


class CaseVoxels(NamedTuple):
    """One scan.

    Attributes
    ----------
    scores : ndarray of float32, shape (i, j, k)
    truth : ndarray of float32, shape (i, j, k)
        Non-zero is lesion.
    inside : ndarray of bool, shape (i, j, k)
        The voxels that count.
    spacing : ndarray, shape (3,)
        Size of a voxel in mm.
    axial : int
        Axis that runs from feet to head.
    """

    scores: NDArray
    truth: NDArray
    inside: NDArray
    spacing: NDArray
    axial: int


def read_case(
    map_path: Path, truth_path: Path, brain_path: Path | None = None, *, slices: tuple[float, float] = WHOLE
) -> CaseVoxels:
    """Read and check one scan's map, truth and brain mask; parameters and errors as :func:`read_subjects`."""
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
    codes = nib.aff2axcodes(affine)
    axial = next((axis for axis, code in enumerate(codes) if code in ("S", "I")), 2)
    if slices != WHOLE:
        inside &= _slices_within(inside, slices, axial, upwards=codes[axial] != "I")
        if not inside.any():
            raise InputError(f"{map_path}: no slice lies within {slices[0]:g}:{slices[1]:g} of the brain; widen slices")
    return CaseVoxels(values, truth, inside, np.sqrt(np.square(affine[:3, :3]).sum(axis=0)), axial)


def _slices_within(inside: NDArray, slices: tuple[float, float], axial: int, *, upwards: bool) -> NDArray:
    """Mark the axial slices (broadcast) whose middle lies within shares of the height of what is inside."""
    others = tuple(axis for axis in range(3) if axis != axial)
    held = np.flatnonzero(inside.any(axis=others))
    place = (np.arange(inside.shape[axial]) - held[0] + 0.5) / (held[-1] - held[0] + 1)
    place = place if upwards else 1 - place
    return np.expand_dims((slices[0] <= place) & (place < slices[1]), others)


def _slice_scores(read: CaseVoxels, case: str) -> SliceScores:
    """Score every axial slice that holds a voxel in scope."""
    others = tuple(axis for axis in range(3) if axis != read.axial)
    voxels = read.inside.sum(axis=others)
    kept = voxels > 0
    squares = np.square(read.scores, dtype=np.float64).sum(axis=others, where=read.inside)
    anomalous = ((read.truth != 0) & read.inside).any(axis=others)
    return SliceScores(np.sqrt(squares[kept] / voxels[kept]), anomalous[kept], np.full(int(kept.sum()), case))


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
        found = _otherwise(labels, own, values, affine)
        raise InputError(
            f"{path}: expected the grid of {beside.name}, shape {values.shape}, found {found}; "
            "bring the map back to the scan's own grid"
        )
    if not (np.isfinite(labels).all() and (labels >= 0).all() and (labels == np.round(labels)).all()):
        raise InputError(f"{path}: expected a mask of whole numbers from 0 up, found values such as {_odd(labels):g}")
    return labels


def _otherwise(labels: NDArray, own: NDArray, values: NDArray, affine: NDArray) -> str:
    """Say in what a grid differs from the map's."""
    if labels.shape != values.shape:
        return f"shape {labels.shape}"
    ours, theirs = ("".join(nib.aff2axcodes(a)) for a in (affine, own))
    if ours != theirs:
        return f"axes that run {theirs} where the map's run {ours} (flipped or turned affine)"
    sizes, wanted = (np.sqrt(np.square(a[:3, :3]).sum(axis=0)) for a in (own, affine))
    if not np.allclose(sizes, wanted, atol=1e-3):
        return f"voxels of {_times(sizes)} mm where the map's are {_times(wanted)} (affine)"
    return "another position (affine)"


def _times(sizes: NDArray) -> str:
    """Write sizes along the axes."""
    return " x ".join(f"{size:g}" for size in sizes)


def _odd(labels: NDArray) -> float:
    """Find the first value that no mask holds."""
    with np.errstate(invalid="ignore"):
        return float(labels[~((labels >= 0) & (labels == np.round(labels)))][0])
