"""Command line: ``uad-eval``.

A subcommand is one function that adds its parser and names what runs it; :data:`COMMANDS` lists them.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from uad_eval.errors import InputError

Commands = argparse._SubParsersAction
RANKED_BY = (
    "average_precision",
    "auroc",
    "best_dice",
    "dice_lesion_validation",
    "dice_healthy_validation",
    "dice_healthy_volume",
    "dice_synthetic_validation",
)


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
        "_lesion or _brain: maps/sub-001.nii.gz goes with truth/sub-001_lesion.nii.gz. Several methods (a folder of "
        "maps each, or one folder that holds a folder per method) are ranked and compared by paired tests.",
        epilog="example: uad-eval score maps truth --brain brains --out results.csv --report results.html",
        allow_abbrev=False,
    )
    parser.add_argument(
        "maps",
        type=Path,
        nargs="+",
        metavar="MAPS_DIR",
        help="anomaly maps, higher is more anomalous; a folder per method, or one folder with a folder per method",
    )
    parser.add_argument("truth", type=Path, metavar="TRUTH_DIR", help="lesion masks on the maps' grids; 0 is healthy")
    parser.add_argument(
        "--brain",
        type=Path,
        metavar="BRAIN_DIR",
        help="brain masks; without them all voxels count, also those around the head, which flatters AUROC",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the tidy table here, .csv or .parquet")
    parser.add_argument(
        "--report", type=Path, metavar="FILE", help="write one HTML page here that holds everything and opens offline"
    )
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
    parser.add_argument(
        "--rank-by",
        default="average_precision",
        choices=RANKED_BY,
        metavar="COLUMN",
        help=f"what several methods are ranked and tested by: {', '.join(RANKED_BY)} (default: average_precision)",
    )
    parser.add_argument(
        "--empty-cases",
        default="lesion",
        choices=("lesion", "nnunet", "brats"),
        help="what an empty mask or truth counts for Dice, IoU and distances, and which subjects their mean is over: "
        "those with a lesion (default), or by the rule of nnU-Net or of BraTS",
    )
    parser.add_argument(
        "--slices",
        type=_slices,
        default=(0.0, 1.0),
        metavar="LOW:HIGH",
        help="only axial slices between these shares of the brain's height, from feet (0) to head (1)",
    )
    parser.add_argument("--pathologies", type=Path, metavar="FILE", help="CSV file with columns subject, pathology")
    parser.add_argument(
        "--froc", action="store_true", help="also count lesions found and false regions at 24 thresholds"
    )
    parser.add_argument(
        "--probabilities", action="store_true", help="the maps are probabilities: also their calibration"
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
    """Score the maps, print the figures, and write the table and the page."""
    from uad_eval import score_text
    from uad_eval.protocols import MASK_PROTOCOLS
    from uad_eval.results import check_table_name, write_table
    from uad_eval.score_files import ScoreSettings, compare_methods, method_folders, read_pathologies, score_folders
    from uad_eval.tables import leaderboard

    if arguments.out is not None:
        check_table_name(arguments.out)
    given = {protocol: getattr(arguments, f"{protocol}_threshold") for protocol in MASK_PROTOCOLS}
    thresholds = {protocol: value for protocol, value in given.items() if value is not None}
    methods = method_folders(arguments.maps, files=arguments.map_files)
    if arguments.method is not None:
        if len(methods) > 1:
            raise InputError(f"--method: expected for one method only, found {', '.join(methods)}; name their folders")
        methods = {arguments.method: next(iter(methods.values()))}
    settings = ScoreSettings(
        truth=arguments.truth,
        brain=arguments.brain,
        cohort=arguments.cohort or "",
        thresholds=thresholds,
        pathologies={} if arguments.pathologies is None else read_pathologies(arguments.pathologies),
        slices=arguments.slices,
        empty_cases=arguments.empty_cases,
        with_froc=arguments.froc,
        probabilities=arguments.probabilities,
        map_files=arguments.map_files,
        truth_files=arguments.truth_files,
        brain_files=arguments.brain_files,
    )
    scored = score_folders(methods, settings)
    results, several = scored.evaluation.results, len(methods) > 1
    chosen = next(iter(thresholds), MASK_PROTOCOLS[0])
    board = leaderboard(scored.evaluation, metric=arguments.rank_by, protocol=chosen)
    tests, ranks = compare_methods(results, column=arguments.rank_by) if several else (None, None)
    if tests is None:
        print(score_text.summary(results, scans=scored.scans))
    else:
        print(score_text.ranked(board, scans=scored.scans))
        print("\n" + score_text.compared(tests, ranks))
    if arguments.out is not None:
        write_table(results, arguments.out)
        print(f"wrote {arguments.out}")
        if tests is not None:
            beside = arguments.out.with_name(f"{arguments.out.stem}-tests{arguments.out.suffix}")
            write_table(tests, beside)
            print(f"wrote {beside}")
    if arguments.report is not None:
        from uad_eval.score_page import score_page, write_page

        write_page(score_page(scored, board, tests=tests, ranks=ranks), arguments.report)
        print(f"wrote {arguments.report}")


def _slices(text: str) -> tuple[float, float]:
    """Read LOW:HIGH."""
    low, _, high = text.partition(":")
    return float(low), float(high)


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
