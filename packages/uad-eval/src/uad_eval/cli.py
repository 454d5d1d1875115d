"""Command line: ``uad-eval``.

A subcommand is one function that adds its parser and names what runs it; :data:`COMMANDS` lists them.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from uad_eval.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

Commands = argparse._SubParsersAction


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments after the program's name; those of the process by default.

    Returns
    -------
    int
        0, or 2 when the input cannot be used (one line on standard error says why).
    """
    parser = argparse.ArgumentParser(
        prog="uad-eval", description="Figures for anomaly maps and masks, from any method.", allow_abbrev=False
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for add in COMMANDS:
        add(commands)
    arguments = parser.parse_args(argv)
    try:
        arguments.run(arguments)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def add_score(commands: Commands) -> None:
    """Add ``uad-eval score``."""
    parser = commands.add_parser(
        "score",
        help="score NIfTI anomaly maps against lesion masks",
        description="Score NIfTI anomaly maps against lesion masks: average precision, AUROC, best Dice, and the mask "
        "figures at thresholds chosen beforehand; pooled over all voxels and as a mean over subjects, each with a "
        "95 % interval from resampling subjects. Files are matched by name, without words at the end such as _map, "
        "_lesion or _brain: maps/sub-001.nii.gz goes with truth/sub-001_lesion.nii.gz.",
        epilog="example: uad-eval score maps truth --brain brains --out results.csv",
        allow_abbrev=False,
    )
    parser.add_argument("maps", type=Path, metavar="MAPS_DIR", help="anomaly maps, higher is more anomalous")
    parser.add_argument("truth", type=Path, metavar="TRUTH_DIR", help="lesion masks on the maps' grids; 0 is healthy")
    parser.add_argument(
        "--brain",
        type=Path,
        metavar="BRAIN_DIR",
        help="brain masks; without them all voxels count, also those around the head, which flatters AUROC",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the tidy table here, .csv or .parquet")
    parser.add_argument("--method", metavar="NAME", help="name of the method in the table (default: of MAPS_DIR)")
    parser.add_argument("--cohort", metavar="NAME", help="name of the cohort in the table (default: of TRUTH_DIR)")
    for protocol, meaning in (
        ("lesion-validation", "has the best Dice on labelled validation scans"),
        ("healthy-validation", "is exceeded by a stated share of healthy validation voxels"),
        ("healthy-volume", "marks a stated volume in healthy validation scans"),
        ("synthetic-validation", "has the best Dice on lesions made up in healthy validation scans"),
    ):
        parser.add_argument(
            f"--{protocol}-threshold",
            type=float,
            metavar="T",
            help=f"also score the masks map > T, voxel by voxel and lesion by lesion, where T {meaning}; not one "
            "chosen on these scans",
        )
    for kind in ("map", "truth", "brain"):
        parser.add_argument(
            f"--{kind}-files",
            default="*.nii*",
            metavar="PATTERN",
            help="which files of the folder (default: *.nii*), such as '*/lesion.nii.gz'",
        )
    parser.set_defaults(run=run_score)


def run_score(arguments: argparse.Namespace) -> None:
    """Score the maps of a folder, print the figures and write the table."""
    from uad_eval.evaluation import evaluate_subjects
    from uad_eval.nifti_cases import find_cases, read_subjects
    from uad_eval.protocols import MASK_PROTOCOLS
    from uad_eval.results import RunKey, check_table_name, write_table
    from uad_eval.scope import Scope

    if arguments.out is not None:
        check_table_name(arguments.out)
    given = {protocol: getattr(arguments, f"{protocol}_threshold") for protocol in MASK_PROTOCOLS}
    thresholds = {protocol: value for protocol, value in given.items() if value is not None}
    maps = find_cases(arguments.maps, files=arguments.map_files)
    truths = find_cases(arguments.truth, files=arguments.truth_files)
    brains = None if arguments.brain is None else find_cases(arguments.brain, files=arguments.brain_files)
    key = RunKey(
        cohort=arguments.cohort or arguments.truth.absolute().name,
        method=arguments.method or arguments.maps.absolute().name,
        scope=Scope(brain_only=brains is not None),
    )
    voxels = read_subjects(maps, truths, brains=brains, thresholds=thresholds)
    results = evaluate_subjects(voxels, key=key, thresholds=thresholds).results
    print(_summary(results, cases=len(maps)))
    if arguments.out is not None:
        write_table(results, arguments.out)
        print(f"wrote {arguments.out}")


def add_report(commands: Commands) -> None:
    """Add ``uad-eval report``."""
    parser = commands.add_parser(
        "report",
        help="run a notebook with parameters and make one self-contained page of it",
        description="Run a parameterised notebook by papermill and leave the executed notebook and one HTML page that "
        "opens offline. Every parameter of the notebook can be given as --NAME VALUE; names and types are checked "
        "before anything runs. Needs the extra uad-eval[experiment].",
        epilog='example: uad-eval report notebooks/compare.ipynb --cohort phantom --seeds "0 1" --output reports/mine',
        allow_abbrev=False,
    )
    parser.add_argument("notebook", type=Path, metavar="NOTEBOOK", help="the notebook; it is not changed")
    parser.add_argument(
        "parameters",
        nargs=argparse.REMAINDER,
        metavar="--NAME VALUE",
        help="parameters of the notebook; --output is the report's folder (default: reports/<notebook>[-<cohort>])",
    )
    parser.set_defaults(run=run_notebook)


def run_notebook(arguments: argparse.Namespace) -> None:
    """Run the notebook and say where the page is."""
    from uad_eval.report import named_parameters, run_report

    given = named_parameters(arguments.parameters)
    output = Path(given["output"]) if "output" in given else None
    print(f"wrote {run_report(arguments.notebook, output=output, parameters=given)}")


COMMANDS: tuple[Callable[[Commands], None], ...] = (add_score, add_report)


def _summary(results: "pd.DataFrame", *, cases: int) -> str:
    """Pooled figures and means over subjects, a line per metric and protocol."""
    first = results.iloc[0]
    subjects = results.loc[results["aggregation"] == "subject", "subject"].nunique()
    lines = [f"{first['method']} on {first['cohort']}: {cases} scans of {subjects} subjects, {first['scope']}", ""]
    lines.append(f"{'metric':30}{'threshold from':22}{'pooled':24}mean over subjects")
    summed = results[results["aggregation"] != "subject"]
    for (metric, protocol), rows in summed.groupby(["metric", "protocol"], sort=False):
        spread = {row["aggregation"]: _spread(row) for _, row in rows.iterrows()}
        name = {"best_dice": "⌈Dice⌉ (upper bound)", "prevalence": "share of lesion voxels"}.get(metric, metric)
        cells = f"{name.replace('_', ' '):30}{protocol.replace('_', ' '):22}{spread.get('pooled', ''):24}"
        lines.append((cells + spread.get("mean", "")).rstrip())
    return "\n".join(lines)


def _spread(row: "pd.Series") -> str:
    """Write a value and its interval."""
    known = row["low"] == row["low"]
    return f"{row['value']:.3f}" + (f" ({row['low']:.3f}–{row['high']:.3f})" if known else "")
