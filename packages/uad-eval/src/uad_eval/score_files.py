"""Score folders of NIfTI maps, of one method or of several on the same scans, and compare them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from uad_eval.calibration import Reliability
from uad_eval.empty_cases import LESION
from uad_eval.errors import InputError
from uad_eval.evaluation import evaluate_subjects
from uad_eval.froc import Froc, froc
from uad_eval.method_ranks import MethodRanks, method_ranks
from uad_eval.nifti_cases import FILES, WHOLE, CaseVoxels, find_cases, read_case, read_subjects
from uad_eval.paired_tests import paired_tests, subject_figures
from uad_eval.results import Evaluation, RunKey, single_figures
from uad_eval.scope import Scope
from uad_eval.tables import COLUMNS

FROC_THRESHOLDS = 24


@dataclass(frozen=True, kw_only=True)
class ScoreSettings:
    """What is scored, and how.

    Parameters
    ----------
    truth : Path
        Folder of lesion masks.
    brain : Path, optional
        Folder of brain masks; without it all voxels count.
    cohort : str
    thresholds : mapping of str to float
        By protocol.
    pathologies : mapping of str to str
        By subject.
    slices : (low, high)
        Shares of the brain's height, from feet to head.
    empty_cases : str
    with_froc, probabilities : bool
        Whether to count lesions at many thresholds, and whether the maps are probabilities whose calibration counts;
        either reads the maps a second time.
    map_files, truth_files, brain_files : str
        Patterns of the files in their folders.
    """

    truth: Path
    brain: Path | None = None
    cohort: str = ""
    thresholds: Mapping[str, float] = field(default_factory=dict)
    pathologies: Mapping[str, str] = field(default_factory=dict)
    slices: tuple[float, float] = WHOLE
    empty_cases: str = LESION
    with_froc: bool = False
    probabilities: bool = False
    map_files: str = FILES
    truth_files: str = FILES
    brain_files: str = FILES


@dataclass(frozen=True)
class Scored:
    """Figures of all methods.

    Attributes
    ----------
    evaluation : Evaluation
    scans : int
    froc : mapping of str to Froc
        By method; empty unless asked for.
    reliability : mapping of str to Reliability
        By method; empty unless the maps are probabilities.
    """

    evaluation: Evaluation
    scans: int
    froc: Mapping[str, Froc]
    reliability: Mapping[str, Reliability]


def method_folders(folders: Sequence[Path], *, files: str = FILES) -> dict[str, Path]:
    """Tell which folder holds which method's maps.

    Parameters
    ----------
    folders : sequence of Path
        One per method; or a single one that holds no map itself, but a folder per method.
    files : str
        Pattern of the maps.

    Returns
    -------
    dict of str to Path
        By name of the folder.

    Raises
    ------
    InputError
        A folder is not there, none holds a map, or two have one name.
    """
    missing = [folder for folder in folders if not folder.is_dir()]
    if missing:
        raise InputError(f"{missing[0]}: no such folder")
    if len(folders) == 1 and not any(folders[0].glob(files)):
        below = sorted(path for path in folders[0].iterdir() if path.is_dir() and any(path.glob(files)))
        folders = below or folders
    named: dict[str, Path] = {}
    for folder in folders:
        name = folder.absolute().name
        if name in named:
            raise InputError(f"{folder}: {named[name]} has the same name, which is the method's; rename one of them")
        named[name] = folder
    return named


def score_folders(methods: Mapping[str, Path], settings: ScoreSettings) -> Scored:
    """Score every method's maps against the same truth.

    Parameters
    ----------
    methods : mapping of str to Path
        Folder of maps by name of the method.
    settings : ScoreSettings

    Returns
    -------
    Scored

    Raises
    ------
    InputError
        A file or an option cannot be used; where there are several methods the message names the method's file.
    """
    truths = find_cases(settings.truth, files=settings.truth_files)
    brains = None if settings.brain is None else find_cases(settings.brain, files=settings.brain_files)
    low, high = settings.slices
    scope = Scope(
        brain_only=brains is not None,
        slices="all" if settings.slices == WHOLE else f"{low:g}:{high:g} of the height",
        empty_cases=settings.empty_cases,
    )
    found = {name: find_cases(folder, files=settings.map_files) for name, folder in methods.items()}
    parts, curves, calibrated = [], {}, {}
    for name, maps in found.items():
        key = RunKey(cohort=settings.cohort or settings.truth.absolute().name, method=name, scope=scope)
        voxels = read_subjects(
            maps,
            truths,
            brains=brains,
            thresholds=settings.thresholds,
            pathologies=settings.pathologies,
            slices=settings.slices,
            empty=settings.empty_cases,
        )
        evaluated = evaluate_subjects(voxels, key=key, thresholds=settings.thresholds)
        extra: dict[str, tuple[float, str]] = {}
        if settings.with_froc:
            thresholds = _thresholds(evaluated.curves)
            curves[name] = froc(_scoped(_cases(maps, truths, brains, settings)), thresholds)
            extra["froc_score"] = (curves[name].score(), "fraction")
        if settings.probabilities:
            calibrated[name] = _reliability(_cases(maps, truths, brains, settings), name)
            extra["expected_calibration_error"] = (calibrated[name].expected_error(), "fraction")
            extra["brier"] = (calibrated[name].brier(), "fraction")
        parts += [evaluated, single_figures(key, extra)]
    return Scored(Evaluation.concat(parts), len(truths), curves, calibrated)


def compare_methods(results: pd.DataFrame, *, column: str) -> tuple[pd.DataFrame, MethodRanks | None]:
    """Test all pairs of methods and rank them over people.

    Parameters
    ----------
    results : pandas.DataFrame
        Table ``results`` of two methods or more.
    column : str
        Name of the leaderboard's column to compare.

    Returns
    -------
    tests : pandas.DataFrame
        From :func:`uad_eval.paired_tests.paired_tests`.
    ranks : MethodRanks or None
        None with fewer than two people.

    Raises
    ------
    InputError
        The figure is not one per person.
    """
    shown = next(c for c in COLUMNS if c.name == column)
    figures = subject_figures(results, metric=shown.metric, protocol=shown.protocol)
    return paired_tests(figures), method_ranks(figures) if len(figures) > 1 else None


def read_pathologies(path: Path) -> dict[str, str]:
    """Read subjects' pathologies from a CSV file with the columns ``subject`` and ``pathology``.

    Raises
    ------
    InputError
        The file cannot be read, lacks a column, or names a subject twice.
    """
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as a table ({error})") from error
    lacking = [column for column in ("subject", "pathology") if column not in frame]
    if lacking:
        raise InputError(f"{path}: expected the columns subject and pathology, {', '.join(lacking)} is missing")
    twice = frame.loc[frame.duplicated("subject"), "subject"]
    if len(twice):
        raise InputError(f"{path}: expected one row per subject, found two of {twice.iloc[0]}")
    return dict(zip(frame["subject"], frame["pathology"], strict=True))


def _cases(
    maps: Mapping[str, Path], truths: Mapping[str, Path], brains: Mapping[str, Path] | None, settings: ScoreSettings
) -> Iterator[CaseVoxels]:
    """Read the scans once more, one at a time."""
    for case in maps:
        yield read_case(maps[case], truths[case], None if brains is None else brains[case], slices=settings.slices)


def _scoped(cases: Iterator[CaseVoxels]) -> Iterator[tuple[NDArray, NDArray]]:
    """Map and truth of each scan, without what lies outside the scope."""
    for read in cases:
        yield np.where(read.inside, read.scores, -np.inf), (read.truth != 0) & read.inside


def _thresholds(curves: pd.DataFrame) -> NDArray:
    """Thresholds spread evenly over the recall of voxels; 0 lesion voxels leave none but infinity."""
    points = curves[(curves["curve"] == "precision_recall") & np.isfinite(curves["threshold"])]
    if points.empty:
        return np.array([np.inf])
    wanted = np.linspace(0, 1, FROC_THRESHOLDS)
    return points["threshold"].to_numpy()[np.minimum(np.searchsorted(points["x"], wanted), len(points) - 1)]


def _reliability(cases: Iterator[CaseVoxels], method: str) -> Reliability:
    """Add up the calibration of all scans."""
    try:
        parts = [Reliability.of(read.scores[read.inside], read.truth[read.inside]) for read in cases]
    except InputError as error:
        raise InputError(f"{method}: {error}") from error
    return sum(parts[1:], parts[0])
