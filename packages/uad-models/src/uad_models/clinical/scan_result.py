"""All that is known of one predicted scan, for those who write it down."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from uad_models.clinical.class_map import ClassMap
from uad_models.clinical.findings import Midline
from uad_models.clinical.scan_input import Files
from uad_models.clinical.verdict import Verdict
from uad_models.run_folder import RunConfig
from uad_postproc import Pipeline


@dataclass(frozen=True, eq=False, kw_only=True)
class ScanResult:
    """A predicted scan. Arrays are ``(d, h, w)`` on the grid of its first file, turned to RAS+.

    Parameters
    ----------
    files, run, config, verdict
        Scan, run folder, what the run was made with, and its fitted threshold if it has one.
    own_threshold
        What the user asked for instead, or None.
    pipeline, threshold
        That made the mask; None without a threshold.
    judged, share_judged
        Brain in which the mask was decided: not in slices that the run's slice rule leaves out; and its share of the
        brain, 0 to 1. None without a threshold.
    image, brain, affine
        The first sequence, the brain, and voxels ``(w, h, d)`` to scanner millimetres.
    scores, mask, labels
        Anomaly map; mask and numbers of its findings, or None without a threshold.
    classes
        Parts of the findings, of a run that learned named classes; None of others and without a threshold.
    findings
        Their table, see `uad_models.clinical.findings.list_findings`; or None.
    smoothed
        ``(k,)`` what the threshold was compared with: scores of the judged brain's voxels in the size that the method
        sees, or None; also None where nothing was judged.
    marked
        Share of the judged brain that the mask holds there, or None.
    midline, template
        Tells the sides; what the scan was registered to, or None.
    prepared
        ``"now"``, ``"before"`` or ``"no"``, see `uad_models.clinical.scan_input.OpenedScan`.
    quality, warnings
        Measures of the prepared scan, and what is odd.
    """

    files: Files
    run: Path
    config: RunConfig
    verdict: Verdict | None
    own_threshold: float | None
    pipeline: Pipeline | None
    threshold: float | None
    judged: np.ndarray | None
    share_judged: float | None
    image: np.ndarray
    brain: np.ndarray
    affine: np.ndarray
    scores: np.ndarray
    mask: np.ndarray | None
    labels: np.ndarray | None
    findings: pd.DataFrame | None
    smoothed: np.ndarray | None
    marked: float | None
    midline: Midline
    template: str | None
    prepared: str
    quality: dict[str, Any]
    warnings: list[str]
    classes: ClassMap | None = None

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size in mm along d, h, w."""
        w, h, d = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(d), float(h), float(w)

    @property
    def total_ml(self) -> float | None:
        """Volume of all findings; None without a threshold and for pictures."""
        if self.findings is None or self.files.is_picture:
            return None
        return float(self.findings["volume_ml"].sum())
