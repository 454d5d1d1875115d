"""From a scan to what can be handed over: map, mask, list of findings and a one-page report, on the scan's own grid.

A prediction is a folder:

- ``map.nii.gz``: the anomaly map, float32, higher is more anomalous, 0 outside the brain;
- ``mask.nii.gz``: 1 where the run's pipeline says anomalous;
- ``classes.nii.gz``: the likeliest class of each voxel of the mask, by its label value; of a run that was fine-tuned
  on named classes, see `uad_models.clinical.class_map.class_map`;
- ``lesions.csv``: one line per connected part of the mask, see `uad_models.clinical.findings.list_findings`;
- ``report.html``: one page that opens offline;
- ``prediction.json``: what it was made of, written last.

The images have the grid, orientation and header of the scan's first file; for pictures they are ``.tif``. Without a
threshold (see `uad_models.clinical.verdict`) there is no mask, no class and no list. Of slices that the run's slice
rule leaves out, which neither the weights nor the threshold were fitted on, there is a map but no mask.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from uad_data.arrays import ArraySpec, PreparedScan
from uad_data.atomic import atomic_path
from uad_data.cohort import Cohort
from uad_data.errors import InputError
from uad_data.readers import source_files, write_like
from uad_data.slices import select_slices
from uad_models.clinical.class_map import class_map
from uad_models.clinical.findings import find_midline, find_warnings, list_findings
from uad_models.clinical.result_folder import new_folder, remove_abandoned, writing
from uad_models.clinical.scan_input import NIFTI, Files, OpenedScan, check_cohort, open_scan
from uad_models.clinical.scan_report import write_report
from uad_models.clinical.scan_result import ScanResult
from uad_models.clinical.verdict import Verdict, load_verdict, pipeline_with, weights_digest
from uad_models.labelled.segmenter import Segmenter
from uad_models.method import Method
from uad_models.predict import predict_items
from uad_models.run_folder import RunConfig, load_run
from uad_postproc import Context, Pipeline
from uad_postproc import InputError as PipelineError

RECORD = "prediction.json"
TABLE = "predictions.csv"
_FORMAT = 3
_IMAGES = ("map", "mask", "classes")
_OURS = (*(f"{name}{end}" for name in _IMAGES for end in (".nii.gz", ".tif")), "lesions.csv", "report.html", RECORD)


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What became of a scan.

    Parameters
    ----------
    folder
        Where its files stand.
    findings
        How many; None without a threshold.
    total_ml
        Their volume; None without a threshold and for pictures.
    share_judged
        Share of the brain in which the mask was decided, see this file's head; None without a threshold.
    warnings
        What makes them doubtful.
    """

    folder: Path
    findings: int | None
    total_ml: float | None
    share_judged: float | None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False, kw_only=True)
class _Run:
    """A run, loaded once for many scans."""

    folder: Path
    method: Method
    config: RunConfig
    verdict: Verdict | None
    pipeline: Pipeline | None
    own_threshold: float | None
    accelerator: str
    digest: str


def predict_scan(
    run: str | Path,
    paths: Sequence[str | Path],
    out: str | Path,
    *,
    brain: str | Path | None = None,
    prepared: bool = False,
    threshold: float | None = None,
    accelerator: str = "auto",
) -> Prediction:
    """Predict one scan.

    Parameters
    ----------
    run
        The folder of a finished run.
    paths
        The scan's sequences, in the order that the run was trained with (``arrays.modalities`` in its
        ``config.json``): NIfTI files, or pictures as in `uad_data.readers`. A raw scan is prepared by the run's recipe.
    out
        The folder to write; what an earlier prediction left there is replaced, other files are left alone.
    brain
        A brain mask on the first sequence's grid; None finds the brain.
    prepared
        The files went through the run's recipe before.
    threshold
        In the units of the map; None takes the run's, which was fitted on healthy people.
    accelerator
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.

    Returns
    -------
    Prediction

    Raises
    ------
    InputError
        The run or the scan cannot be used, the number of sequences is not the run's, or the disk is full.
    """
    loaded = _open_run(run, threshold=threshold, accelerator=accelerator)
    names = loaded.config.spec.modalities
    if len(paths) != len(names):
        raise InputError(
            f"run {run} needs {len(names)} sequence(s) of a scan, in this order: {', '.join(names)}; found {len(paths)}"
        )
    files = Files(
        images={name: str(path) for name, path in zip(names, paths, strict=True)},
        brain=str(brain or ""),
        subject=stem(paths[0]),
    )
    return _predict(loaded, files, Path(out), prepared=prepared, key=_key(loaded, files, prepared=prepared))


def predict_cohort(
    run: str | Path,
    cohort: Cohort,
    out: str | Path,
    *,
    prepared: bool = False,
    threshold: float | None = None,
    accelerator: str = "auto",
    progress: bool = True,
) -> list[Prediction]:
    """Predict every scan of a cohort that has the run's sequences.

    A scan whose folder is there, made of the same files by the same run and threshold, is not made again. One that
    cannot be used does not stop the rest.

    Parameters
    ----------
    run
        The folder of a finished run.
    cohort
        The scans; select a split first to predict only that. Raw ones are prepared by the run's recipe.
    out
        A folder; a scan's files go to ``<subject>[_<session>]/``, and ``predictions.csv`` lists the scans.
    prepared
        The scans went through the run's recipe before; known of a cohort that ``uad-data prepare`` wrote.
    threshold, accelerator
        As `predict_scan`.
    progress
        Show a progress bar.

    Returns
    -------
    list of Prediction
        In the cohort's order.

    Raises
    ------
    InputError
        The run or the cohort cannot be used, the disk is full, or, when all others are done, a scan cannot be used.
    """
    loaded = _open_run(run, threshold=threshold, accelerator=accelerator)
    prepared = check_cohort(cohort, loaded.config) or prepared
    scans = _scans(cohort, loaded.config)
    out = Path(out)
    remove_abandoned(out)
    done: list[Prediction] = []
    lines: list[dict[str, Any]] = []
    for name, files in tqdm(scans.items(), desc=f"{loaded.method.name} maps", unit="scan", disable=not progress):
        line: dict[str, Any] = {"subject": files.subject, "session": files.session, "folder": name}
        try:
            key = _key(loaded, files, prepared=prepared)
            made = _finished(out / name, key) or _predict(loaded, files, out / name, prepared=prepared, key=key)
            done.append(made)
            line |= {name: getattr(made, name) for name in ("findings", "total_ml", "share_judged")}
            line["warnings"] = " ".join(made.warnings)
        except (InputError, PipelineError) as error:
            line["error"] = str(error)
        lines.append(line)
    columns = ["subject", "session", "folder", "findings", "total_ml", "share_judged", "warnings", "error"]
    with writing(out / TABLE), atomic_path(out / TABLE) as temporary:
        pd.DataFrame(lines, columns=columns).astype({"findings": "Int64"}).to_csv(temporary, index=False)
    failed = [line for line in lines if "error" in line]
    if failed:
        raise InputError(
            f"{len(failed)} of {len(lines)} scans could not be used, the others are done; see {out / TABLE}. "
            f"The first: {failed[0]['error']}"
        )
    return done


def stem(source: str | Path) -> str:
    """Return the name of a scan's file without endings, wildcards and channel.

    Parameters
    ----------
    source
        As in `uad_data.readers`.

    Returns
    -------
    str
        ``"scan"`` for ``"folder/scan.nii.gz"``.
    """
    name = Path(str(source).partition("#")[0]).name
    for ending in (*NIFTI, Path(name).suffix):
        name = name.removesuffix(ending)
    return "".join(letter for letter in name if letter not in "*?[]").strip("_-") or "scan"


def _open_run(run: str | Path, *, threshold: float | None, accelerator: str) -> _Run:
    """Load a run and its threshold."""
    run = Path(run)
    method, config = load_run(run)
    verdict = load_verdict(run)
    steps = pipeline_with(threshold, verdict) if threshold is not None else verdict.pipeline if verdict else None
    return _Run(
        folder=run,
        method=method,
        config=config,
        verdict=verdict,
        pipeline=steps,
        own_threshold=threshold,
        accelerator=accelerator,
        digest=weights_digest(run),
    )


def _scans(cohort: Cohort, config: RunConfig) -> dict[str, Files]:
    """Name the files of every scan that has the run's sequences, by the folder that it gets."""
    names = config.spec.modalities
    cohort = cohort.with_modalities(names)
    scans: dict[str, Files] = {}
    for i, row in enumerate(cohort.table.to_dict(orient="records")):
        folder = "_".join(filter(None, (row["subject"], row["session"]))).replace("/", "-").lstrip(".") or f"scan-{i}"
        if folder in scans:
            raise InputError(f"cohort {cohort.root}: two scans would be written to the folder {folder!r}; rename one")
        scans[folder] = Files(
            images={name: cohort.source(i, f"image_{name}") for name in names},
            brain=cohort.source(i, "brain"),
            subject=row["subject"],
            session=row["session"],
        )
    return scans


def _key(run: _Run, files: Files, *, prepared: bool) -> dict[str, Any]:
    """Collect what decides a prediction."""
    named = {**files.images, "brain": files.brain}
    stats = {name: [file.stat() for file in source_files(path)] for name, path in named.items() if path}
    content = {
        "format": _FORMAT,
        "run": run.config.fingerprint,
        "model": run.digest,
        "recipe": run.config.recipe,
        "pipeline": run.pipeline.to_dict() if run.pipeline else None,
        "prepared": prepared,
        "files": {name: [(stat.st_size, stat.st_mtime_ns) for stat in found] for name, found in stats.items()},
        "paths": {name: os.path.abspath(path) for name, path in named.items() if path},
    }
    return json.loads(json.dumps(content))


def _finished(folder: Path, key: dict[str, Any]) -> Prediction | None:
    """Read a prediction that was made of the same files in the same way."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if record.get("key") != key:
        return None
    return Prediction(
        folder=folder,
        findings=record["findings"],
        total_ml=record["total_ml"],
        share_judged=record["share_judged"],
        warnings=tuple(record["warnings"]),
    )


def _predict(run: _Run, files: Files, folder: Path, *, prepared: bool, key: dict[str, Any]) -> Prediction:
    """Make a prediction and put it into its folder."""
    opened = open_scan(files, run.config, prepared=prepared)
    items, maps = predict_items(run.method, opened.scan, run.config.spec, accelerator=run.accelerator)
    result = _judge(run, files, opened, items, maps)
    with new_folder(folder, ours=_OURS, record=RECORD) as temporary:
        ending = ".tif" if files.is_picture else ".nii.gz"
        write_like(temporary / f"map{ending}", result.scores, files.first)
        if result.mask is not None and result.findings is not None:
            write_like(temporary / f"mask{ending}", result.mask, files.first)
            if result.classes is not None:
                write_like(temporary / f"classes{ending}", result.classes.labels, files.first)
            result.findings.to_csv(temporary / "lesions.csv", index=False, float_format="%.6g")
        write_report(result, temporary / "report.html")
        made = Prediction(
            folder=folder,
            findings=None if result.findings is None else len(result.findings),
            total_ml=result.total_ml,
            share_judged=result.share_judged,
            warnings=tuple(result.warnings),
        )
        record = {
            "findings": made.findings,
            "total_ml": made.total_ml,
            "share_judged": made.share_judged,
            "warnings": made.warnings,
            "threshold": result.threshold,
            "classes": None if result.classes is None else result.classes.values,
            "quality": opened.quality,
            "key": key,
        }
        (temporary / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return made


def _judge(run: _Run, files: Files, opened: OpenedScan, items: PreparedScan, maps: np.ndarray) -> ScanResult:
    """Take the map to the scan's grid, decide on every voxel, and list what is found."""
    scan, way_back = opened.scan, opened.way_back
    affine = way_back.native_affine
    scores = way_back.to_native(items.to_native(maps) * scan.brain)
    brain = way_back.to_native(scan.brain.astype(np.float32)) >= 0.5
    smoothed = marked = judged = share_judged = mask = findings = labels = classes = None
    if run.pipeline:
        known = _known_items(scan.brain, items, run.config.spec)
        inside = items.brain[known]
        flat = items.image.ndim == 4
        spacing = (items.pixel_mm,) * (2 if flat else 3)
        context = Context(inside, spacing, slice_thickness=scan.spacing[0] if flat else None)
        decided = np.zeros(maps.shape, bool)
        if inside.any():
            kept = run.pipeline.score(maps[known], context)
            decided[known] = run.pipeline.mask_from_scores(kept, context)
            smoothed, marked = kept[inside], float(decided[known][inside].mean())
        judged = brain if known.all() else brain & (way_back.to_native(_known_brain(scan.brain, items, known)) >= 0.5)
        share_judged = int(judged.sum()) / max(int(brain.sum()), 1)
        # A share, not labels: two interpolations of yes and no would move the outline by a voxel.
        share = items.to_native(decided.astype(np.float32)) * scan.brain
        mask = way_back.to_native(share) >= 0.5
    midline = find_midline(scan.brain, scan.affine, way_back, template=opened.template)
    if mask is not None:
        findings, labels = list_findings(mask, scores, affine, midline, in_mm=not files.is_picture)
        if isinstance(run.method, Segmenter) and run.method.config.classes:
            classes = class_map(run.method, items, way_back, mask, accelerator=run.accelerator)
    threshold = None if run.pipeline is None else float(run.pipeline.threshold.value or 0)
    above = None if smoothed is None else float((smoothed > threshold).mean())
    return ScanResult(
        files=files,
        run=run.folder,
        config=run.config,
        verdict=run.verdict,
        own_threshold=run.own_threshold,
        pipeline=run.pipeline,
        threshold=threshold,
        image=opened.native,
        brain=brain,
        judged=judged,
        share_judged=share_judged,
        affine=affine,
        scores=scores,
        mask=mask,
        labels=labels,
        classes=classes,
        findings=findings,
        smoothed=smoothed,
        marked=marked,
        midline=midline,
        template=opened.template,
        prepared=opened.prepared,
        quality=opened.quality,
        warnings=find_warnings(opened.quality, above, judged=share_judged),
    )


def _known_items(brain: np.ndarray, items: PreparedScan, spec: ArraySpec) -> np.ndarray:
    """Tell which items (n,) are like those that the run learned from, by its slice rule; volumes all are."""
    if len(spec.size) == 3:
        return np.ones(len(items.slice_index), bool)
    return np.isin(items.slice_index, select_slices(brain, spec.slices))


def _known_brain(brain: np.ndarray, items: PreparedScan, known: np.ndarray) -> np.ndarray:
    """Leave of a brain (d, h, w) what lies in the slices of known items; float32."""
    kept = np.zeros(brain.shape, np.float32)
    slices = items.slice_index[known]
    kept[slices] = brain[slices]
    return kept
