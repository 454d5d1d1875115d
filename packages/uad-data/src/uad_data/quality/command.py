"""``uad-data qc``: the table and the page of a prepared cohort."""

import argparse
from pathlib import Path

from uad_data.quality.outliers import Limits
from uad_data.quality.page import write_quality

HELP = "check a prepared cohort by eye: a page with every scan, and a table that flags outliers"
EXAMPLE = "uad-data qc prepared"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes, and what it runs.

    Parameters
    ----------
    parser : ArgumentParser
        Of the command.
    """
    limits = Limits()
    parser.add_argument("prepared", type=Path, metavar="PREPARED", help="folder written by 'uad-data prepare'")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="the page (default: PREPARED/quality.html); the table gets the same name with .csv",
    )
    parser.add_argument(
        "--brain-ml",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        default=limits.brain_ml,
        help="flag brain volumes outside these, in ml (default: 700 2200, for adults)",
    )
    parser.add_argument(
        "--dice",
        type=float,
        metavar="LEAST",
        default=limits.dice,
        help="flag scans whose brain overlaps the template's by less (default: %(default)s); masks without the fluid "
        "around the brain need less",
    )
    parser.add_argument(
        "--workers", type=int, default=1, metavar="N", help="processes that draw at once (default: %(default)s)"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Write the page and the table, and say what to look at.

    Parameters
    ----------
    arguments : Namespace
        Of a parser given to `add_arguments`.

    Raises
    ------
    InputError
        As for `uad_data.quality.page.write_quality`.
    """
    out = arguments.out or arguments.prepared / "quality.html"
    limits = Limits(brain_ml=tuple(arguments.brain_ml), dice=arguments.dice)
    table = write_quality(arguments.prepared, out, limits=limits, workers=arguments.workers)
    print(f"{out}: {len(table)} scans, {int(table['flagged'].sum())} flagged; the table is {out.with_suffix('.csv')}")
    for row in table[table["flagged"]].to_dict(orient="records"):
        print(f"  {row['subject']}{' ' + row['session'] if row['session'] else ''}: {row['flags']}")
