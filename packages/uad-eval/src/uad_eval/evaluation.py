"""Score anomaly maps and masks against the truth: pooled over all voxels, per subject, and with intervals.

Pooled figures put all voxels of all subjects into one pot; the mean over subjects gives each subject the same say.
They are different numbers and carry different names in the column ``aggregation``. Dice, IoU, sensitivity, precision
and the ranking metrics are averaged over the subjects that have a lesion, since without one they say nothing (or only
that some voxel was marked); specificity is averaged over all.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from uad_eval.bootstrap import BINS, DRAWS, mask_draws, ranking_draws, subject_weights
from uad_eval.empty_cases import EmptyCases, empty_cases, filled
from uad_eval.errors import InputError
from uad_eval.figures import Figure, tabulate
from uad_eval.lesionwise import LesionCounts, count_in_scope, lesion_figures
from uad_eval.mask_shape import MaskShape, shape_figures, shapes_in_scope
from uad_eval.metrics import MASK_METRICS, Counts, counted_dice, counts
from uad_eval.protocols import MASK_PROTOCOLS, ORACLE, PER_IMAGE
from uad_eval.ranking import Ranking, above_chance, sorted_scores
from uad_eval.results import Evaluation, RunKey, single_figures, table
from uad_eval.samples import SliceScores, evaluate_slices

_OVER_ALL_SUBJECTS = {"specificity"}
_OVERLAPS = {"dice", "iou"}


@dataclass(frozen=True)
class SubjectVoxels:
    """One subject's voxels inside the scope.

    Attributes
    ----------
    subject, pathology : str
    scores : ndarray of float, shape (v,)
    truth : ndarray, shape (v,)
        Non-zero is lesion.
    masks : mapping of str to ndarray of bool, shape (v,)
        Final mask per threshold protocol.
    lesions : mapping of str to LesionCounts
        Lesions and regions per protocol, of subjects whose items are volumes; otherwise empty.
    shapes : mapping of str to MaskShape
        Volume and surface per protocol, of subjects whose voxels have a known size; otherwise empty.
    slices : SliceScores, optional
        A score per slice, for the figures of slices and scans.
    """

    subject: str
    pathology: str
    scores: NDArray
    truth: NDArray
    masks: Mapping[str, NDArray] = field(default_factory=dict)
    lesions: Mapping[str, LesionCounts] = field(default_factory=dict)
    shapes: Mapping[str, MaskShape] = field(default_factory=dict)
    slices: SliceScores | None = None


@dataclass(frozen=True)
class _Scored:
    """One subject: sorted scores, its ranking, and the counts of each mask."""

    subject: str
    pathology: str
    sorted: tuple[NDArray, NDArray]
    ranking: Ranking
    counts: Mapping[str, Counts]
    lesions: Mapping[str, LesionCounts]
    shapes: Mapping[str, MaskShape]
    slices: SliceScores | None


def evaluate(
    maps: ArrayLike,
    truth: ArrayLike,
    brain: ArrayLike,
    subjects: Sequence[str] | NDArray,
    *,
    key: RunKey,
    pathologies: Sequence[str] | NDArray | None = None,
    masks: Mapping[str, ArrayLike] | None = None,
    thresholds: Mapping[str, float] | None = None,
    false_positive_rate: float | None = None,
    voxel_ml: ArrayLike | None = None,
    spacing: ArrayLike | None = None,
    draws: int = DRAWS,
    bootstrap_seed: int = 0,
    bins: int = BINS,
) -> Evaluation:
    """Score the maps and masks of one trained model on the test scans of a cohort.

    Parameters
    ----------
    maps : array_like of float, shape (n, *spatial)
        Continuous anomaly maps, after smoothing and before the threshold. May be memory-mapped: one subject is read
        at a time.
    truth : array_like, shape (n, *spatial)
        Non-zero is lesion.
    brain : array_like of bool, shape (n, *spatial)
    subjects : sequence of str, shape (n,)
        Whose slice or volume each item is; both visits of one person carry one name.
    key : RunKey
        Cohort, method, seed and scope; stands in every row.
    pathologies : sequence of str, shape (n,), optional
        One per subject.
    masks : mapping of str to array_like of bool, shape (n, *spatial), optional
        Final masks by protocol, one of :data:`uad_eval.protocols.MASK_PROTOCOLS` or ``per_image``.
    thresholds : mapping of str to float, optional
        Threshold by protocol, on the scale of ``maps``. Where no mask is given for a protocol, the mask is
        ``maps > threshold``; where one is given, the threshold is only noted in its rows.
    false_positive_rate : float, optional
        The rate that the ``healthy_validation`` threshold was chosen for, noted as a row of its own.
    voxel_ml : array_like of float, shape (n,), optional
        Volume of a voxel of each item. Where items are volumes, lesions are counted too
        (:mod:`uad_eval.lesionwise`), and with it by size.
    spacing : array_like of float, shape (n, 3), optional
        Size of a voxel of each item in mm, where items are volumes: then surface distances and volumes of the masks are
        measured (:mod:`uad_eval.mask_shape`), and ``voxel_ml`` may be left out.
    draws, bootstrap_seed : int
        Bootstrap draws of subjects, and their seed. Keep both the same for methods that are to be compared.
    bins : int
        Thresholds at which the draws of the ranking metrics are counted; the figures themselves are exact.

    Returns
    -------
    Evaluation
        Tables ``results``, ``draws`` and ``curves``.

    Raises
    ------
    InputError
        Shapes or lengths differ, a score is not finite, a protocol is unknown, a subject has two pathologies, or the
        scope holds no voxel.

    Notes
    -----
    Holds two sorted float32 copies of the voxels in scope: 8 bytes a voxel.
    """
    maps, truth, brain = np.asanyarray(maps), np.asanyarray(truth), np.asanyarray(brain)
    subjects = np.asarray(subjects).astype(str)
    pathologies = np.full(len(subjects), "") if pathologies is None else np.asarray(pathologies).astype(str)
    masks, thresholds = dict(masks or {}), dict(thresholds or {})
    named = {"truth": truth, "brain": brain} | {f"mask {name}": np.asanyarray(m) for name, m in masks.items()}
    _check_arrays(maps, subjects, pathologies, named)
    sizes = None if voxel_ml is None else np.asarray(voxel_ml, np.float64)
    if sizes is not None and sizes.shape != maps.shape[:1]:
        raise InputError(f"voxel_ml: expected {maps.shape[0]} volumes, one per map, found {sizes.shape}")
    voxel_mm = None if spacing is None else np.asarray(spacing, np.float64)
    if voxel_mm is not None:
        if maps.ndim != 4 or voxel_mm.shape != (len(maps), 3) or not (voxel_mm > 0).all():
            raise InputError(
                f"spacing: expected sizes above 0, (n, 3), of n volumes, found {voxel_mm.shape} for {maps.shape}"
            )
        sizes = voxel_mm.prod(axis=1) / 1000 if sizes is None else sizes
    return evaluate_subjects(
        _by_subject(maps, truth, brain, subjects, pathologies, key, masks, thresholds, sizes, voxel_mm),
        key=key,
        thresholds=thresholds,
        false_positive_rate=false_positive_rate,
        draws=draws,
        bootstrap_seed=bootstrap_seed,
        bins=bins,
    )


def evaluate_subjects(
    voxels: Iterable[SubjectVoxels],
    *,
    key: RunKey,
    thresholds: Mapping[str, float] | None = None,
    false_positive_rate: float | None = None,
    draws: int = DRAWS,
    bootstrap_seed: int = 0,
    bins: int = BINS,
) -> Evaluation:
    """Score subjects whose scans differ in shape, each given as the voxels in its scope.

    Parameters
    ----------
    voxels : iterable of SubjectVoxels
        One per subject, all with masks for the same protocols. Taken one at a time.
    key, thresholds, false_positive_rate, draws, bootstrap_seed, bins
        As :func:`evaluate`; the thresholds are only noted.

    Returns
    -------
    Evaluation
        Tables ``results``, ``draws`` and ``curves``, and ``samples`` where subjects come with scores of slices.

    Raises
    ------
    InputError
        As :func:`evaluate`.
    """
    rule = empty_cases(key.scope.empty_cases)
    scored = sorted((_score(v) for v in voxels), key=lambda s: s.subject)
    pooled = Ranking.of_sorted(
        *(np.sort(np.concatenate(kind)) for kind in zip(*(s.sorted for s in scored), strict=True))
    )
    if not pooled.lesion + pooled.healthy:
        raise InputError(f"the scope ({key.scope}) holds no voxel: the brain masks are empty")
    weights = subject_weights(len(scored), draws=draws, seed=bootstrap_seed)
    figures = [
        *_ranking_figures(pooled, scored, weights, bins),
        *_mask_figures(scored, weights, dict(thresholds or {}), rule),
        *lesion_figures([s.lesions for s in scored], weights),
        *shape_figures([s.shapes for s in scored], rule),
    ]
    tabulated = tabulate(key, [s.subject for s in scored], [s.pathology for s in scored], figures, weights)
    notes = {"prevalence": (pooled.lesion / (pooled.lesion + pooled.healthy), "fraction")}
    if false_positive_rate is not None:
        notes["chosen_false_positive_rate"] = (false_positive_rate, "fraction")
    parts = [replace(tabulated, curves=_curves(key, pooled)), single_figures(key, notes)]
    slices = {(s.subject, s.pathology): s.slices for s in scored if s.slices is not None}
    if slices:
        parts.append(evaluate_slices(slices, key=key, draws=draws, bootstrap_seed=bootstrap_seed))
    return Evaluation.concat(parts)


def _check_arrays(maps: NDArray, subjects: NDArray, pathologies: NDArray, others: Mapping[str, NDArray]) -> None:
    """Refuse arrays that do not belong together."""
    for name, array in others.items():
        if array.shape != maps.shape:
            raise InputError(f"{name}: expected the shape of the maps, {maps.shape}, found {array.shape}")
    for name, labels in (("subjects", subjects), ("pathologies", pathologies)):
        if labels.shape != maps.shape[:1]:
            raise InputError(f"{name}: expected {maps.shape[0]} names, one per map, found {labels.shape}")
    pairs = pd.DataFrame({"subject": subjects, "pathology": pathologies}).drop_duplicates()
    twice = pairs[pairs.duplicated("subject")]
    if len(twice):
        name = twice["subject"].iloc[0]
        found = ", ".join(pairs.loc[pairs["subject"] == name, "pathology"])
        raise InputError(f"pathologies: expected one per subject, found {found} for subject {name}")


def _by_subject(
    maps: NDArray,
    truth: NDArray,
    brain: NDArray,
    subjects: NDArray,
    pathologies: NDArray,
    key: RunKey,
    masks: Mapping[str, ArrayLike],
    thresholds: Mapping[str, float],
    voxel_ml: NDArray | None,
    voxel_mm: NDArray | None,
) -> Iterator[SubjectVoxels]:
    """Read the voxels of one subject after the other."""
    for subject in np.unique(subjects):
        rows = np.flatnonzero(subjects == subject)
        inside = key.scope.select(brain[rows])
        scores = maps[rows][inside].astype(np.float32, copy=False)
        cut = {name: scores > value for name, value in thresholds.items()}
        given = {name: np.asanyarray(mask)[rows][inside] for name, mask in masks.items()}
        final, lesion = cut | given, truth[rows][inside]
        sizes = None if voxel_ml is None else voxel_ml[rows]
        lesions = count_in_scope(inside, lesion, final, voxel_ml=sizes) if maps.ndim == 4 else {}
        shapes = {}
        if voxel_mm is not None:
            shapes = shapes_in_scope(inside, lesion, final, spacing=voxel_mm[rows], empty=key.scope.empty_cases)
        yield SubjectVoxels(subject, pathologies[rows[0]], scores, lesion, final, lesions, shapes)


def _score(voxels: SubjectVoxels) -> _Scored:
    """Sort and count the voxels of one subject; refuse what cannot be scored."""
    known = (*MASK_PROTOCOLS, PER_IMAGE)
    unknown = sorted(set(voxels.masks) - set(known))
    if unknown:
        raise InputError(f"masks and thresholds: expected the protocols {', '.join(known)}, found {unknown}")
    try:
        ordered = sorted_scores(voxels.scores, voxels.truth)
        counted = {name: counts(mask, voxels.truth) for name, mask in voxels.masks.items()}
    except InputError as error:
        raise InputError(f"subject {voxels.subject}: {error}") from error
    ranking = Ranking.of_sorted(*ordered)
    return _Scored(
        voxels.subject, voxels.pathology, ordered, ranking, counted, voxels.lesions, voxels.shapes, voxels.slices
    )


def _ranking_figures(pooled: Ranking, scored: Sequence[_Scored], weights: NDArray, bins: int) -> list[Figure]:
    """Figures over all thresholds; a subject's ⌈Dice⌉ is its Dice at the one threshold that is best for the pool."""
    drawn = ranking_draws(pooled, [s.sorted for s in scored], weights, bins=bins)
    best, threshold = pooled.best_dice()
    with_lesion = np.array([s.ranking.lesion > 0 for s in scored])
    at_best = np.array([_dice_at(s, threshold) for s in scored])
    precision, area = (np.array([getattr(s.ranking, m)() for s in scored]) for m in ("average_precision", "auroc"))
    kinds = np.array([[s.ranking.lesion, s.ranking.healthy] for s in scored], np.float64)
    normalised = pooled.normalised_average_precision()
    drawn_normalised = above_chance(drawn["average_precision"], *(weights @ kinds).T)
    each = above_chance(precision, *kinds.T)
    return [
        Figure("average_precision", pooled.average_precision(), drawn["average_precision"], precision, with_lesion),
        Figure("normalised_average_precision", normalised, drawn_normalised, each, with_lesion),
        Figure("auroc", pooled.auroc(), drawn["auroc"], area, with_lesion),
        Figure("best_dice", best, drawn["best_dice"], at_best, with_lesion, protocol=ORACLE, threshold=threshold),
    ]


def _dice_at(scored: _Scored, threshold: float) -> float:
    """Dice of one subject above a threshold; NaN threshold (no lesion anywhere) gives NaN."""
    lesion, healthy = scored.sorted
    if np.isnan(threshold):
        return float("nan")
    tp, fp = (part.size - np.searchsorted(part, part.dtype.type(threshold), side="right") for part in (lesion, healthy))
    return float(counted_dice(Counts(float(tp), float(fp), float(lesion.size - tp), float(healthy.size - fp))))


def _mask_figures(
    scored: Sequence[_Scored], weights: NDArray, thresholds: Mapping[str, float], rule: EmptyCases
) -> list[Figure]:
    """Figures of the masks of each protocol."""
    with_lesion = np.array([s.ranking.lesion > 0 for s in scored])
    figures = []
    for protocol in scored[0].counts:
        each = Counts(*np.array([s.counts[protocol] for s in scored], np.float64).T)
        drawn = mask_draws(each, weights)
        pooled = Counts(*(float(np.sum(count)) for count in each))
        for name, metric in MASK_METRICS.items():
            own = metric(each)
            over_all = name in _OVER_ALL_SUBJECTS
            if name in _OVERLAPS:
                own, over_all = filled(own, each.tp + each.fp + each.fn == 0, rule.overlap), rule.every_subject
            over = np.ones_like(with_lesion) if over_all else with_lesion
            threshold = thresholds.get(protocol, float("nan"))
            figures.append(
                Figure(name, float(metric(pooled)), drawn[name], own, over, protocol=protocol, threshold=threshold)
            )
    return figures


def _curves(key: RunKey, pooled: Ranking) -> pd.DataFrame:
    """Points of the two curves of the pooled voxels."""
    drawn = {"precision_recall": pooled.precision_recall_curve(), "roc": pooled.roc_curve()}
    parts = [table("curves", key.columns() | {"curve": name} | curve._asdict()) for name, curve in drawn.items()]
    return pd.concat(parts, ignore_index=True)
