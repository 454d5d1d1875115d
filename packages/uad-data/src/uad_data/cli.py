"""The command ``uad-data``."""

import argparse
import errno
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from uad_data.cohort import Cohort
from uad_data.errors import InputError
from uad_data.layouts import LAYOUTS, index_layout
from uad_data.phantom import MODALITIES, write_phantom
from uad_data.preparation.cohort import prepare_cohort
from uad_data.preparation.recipes import RECIPES, find_recipe
from uad_data.quality import command as qc
from uad_data.split import SPLITS


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; by default those of the process.

    Returns
    -------
    int
        0, or 2 for input that cannot be used, after one line on standard error.
    """
    arguments = _parser().parse_args(argv)
    try:
        arguments.run(arguments)
    except InputError as error:
        return _fail(str(error))
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        if error.errno == errno.ENOSPC:
            return _fail(f"{place}the disk is full; free some space and run the command again, nothing is left broken")
        return _fail(f"{place}{error.strerror or error}")
    return 0


def _fail(message: str) -> int:
    """Print the one line and give the exit status of bad input."""
    print(f"error: {message}", file=sys.stderr)
    return 2


def _parser() -> argparse.ArgumentParser:
    """Describe the commands."""
    parser = argparse.ArgumentParser(
        prog="uad-data",
        description="Turn brain scans into a cohort: a table of scans, split by subject, for every other command.",
        epilog="example:\n  uad-data phantom --subjects 60 --seed 0 --out phantom\n  uad-data check phantom/cohort.csv",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    listing = _command(commands, "list", "show the data sets that can be indexed, and the phantom", "uad-data list")
    listing.set_defaults(run=_list)

    phantom = _command(
        commands,
        "phantom",
        "make a cohort of simulated brain MRI or CT with lesions; the same seed gives the same files",
        "uad-data phantom --subjects 60 --seed 0 --out phantom",
    )
    phantom.add_argument("--subjects", type=int, default=60, help="number of people (default: %(default)s)")
    phantom.add_argument("--seed", type=int, default=0, help="seed of the random draws (default: %(default)s)")
    phantom.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write; gets cohort.csv")
    phantom.add_argument("--spacing", type=float, default=2.0, metavar="MM", help="voxel size (default: %(default)s)")
    phantom.add_argument("--workers", type=int, default=1, help="processes to use (default: %(default)s)")
    phantom.add_argument(
        "--modality", choices=MODALITIES, default="mri", help="what they are scanned by (default: %(default)s)"
    )
    phantom.set_defaults(run=_phantom)

    index = _command(
        commands,
        "index",
        "find a data set's scans, split them by subject and write cohort.csv",
        "uad-data index kaggle_3m lgg/kaggle_3m --out lgg.csv\n"
        "  uad-data index bids study --pathology healthy --out cohort.csv",
    )
    index.add_argument("layout", metavar="LAYOUT", help=f"one of {', '.join(LAYOUTS)}; see 'uad-data list'")
    index.add_argument("folder", type=Path, metavar="DIR", help="folder of the data set (csv: the table itself)")
    index.add_argument("--out", type=Path, required=True, metavar="CSV", help="table to write")
    index.add_argument("--seed", type=int, default=0, help="seed of the splits (default: %(default)s)")
    index.add_argument(
        "--fractions",
        type=float,
        nargs=3,
        default=(0.6, 0.15, 0.25),
        metavar=("TRAIN", "VAL", "TEST"),
        help="shares of the subjects (default: 0.6 0.15 0.25)",
    )
    index.add_argument(
        "--pathology",
        default="unknown",
        metavar="NAME",
        help="of the scans of which the data set says nothing: 'healthy' where all of them are, which is what methods "
        "learn from (default: %(default)s)",
    )
    index.set_defaults(run=_index)

    _add_prepare(commands)

    recipes = _command(commands, "recipes", "show the recipes of 'prepare', step by step", "uad-data recipes")
    recipes.set_defaults(run=_recipes)

    qc.add_arguments(_command(commands, "qc", qc.HELP, qc.EXAMPLE))

    check = _command(
        commands,
        "check",
        "read every scan of a cohort and name those that cannot be used",
        "uad-data check cohort.csv",
    )
    check.add_argument("cohort", type=Path, metavar="CSV", help="table written by 'uad-data index' or 'phantom'")
    check.set_defaults(run=_check)
    return parser


def _add_prepare(commands: "argparse._SubParsersAction") -> None:
    """Describe ``prepare``."""
    prepare = _command(
        commands,
        "prepare",
        "take raw scans through a recipe: bias correction, brain extraction, registration, crop, scaling; the way back "
        "is kept. An interrupted command resumes; a scan that cannot be used is named at the end",
        "uad-data prepare cohort.csv --out prepared --workers 2\n"
        "  uad-data prepare cohort.csv --out prepared --recipe lambert2021 --set brain_extraction.extractor=hd-bet\n"
        "  uad-data prepare flair.nii.gz --modality flair --out prepared --skip bias_field",
    )
    add = prepare.add_argument
    add("source", type=Path, metavar="CSV", help="table of raw scans, see 'uad-data index'; or one raw scan")
    add("--out", type=Path, required=True, metavar="DIR", help="folder to write; gets cohort.csv and recipe.json")
    add("--recipe", default="default", metavar="NAME", help=f"{', '.join(RECIPES)}, or a .json file (default: default)")
    add("--skip", action="append", default=[], metavar="STEP", help="leave a step out; repeatable")
    add(
        "--set",
        action="append",
        default=[],
        metavar="STEP.SETTING=VALUE",
        dest="settings",
        help="change a setting, such as resample.spacing=2; repeatable",
    )
    add("--modality", default="", metavar="NAME", help="what one raw scan is: t1, t2, flair, ct, ...")
    add("--workers", type=int, default=1, help="processes to use (default: %(default)s)")
    add(
        "--scheduler",
        default="",
        metavar="ADDRESS",
        help="Dask scheduler to send the scans to, such as tcp://host:8786",
    )
    prepare.set_defaults(run=_prepare)


def _command(commands: "argparse._SubParsersAction", name: str, help_: str, example: str) -> argparse.ArgumentParser:
    """Add a command with its example."""
    return commands.add_parser(
        name,
        help=help_,
        description=help_[0].upper() + help_[1:] + ".",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _list(_: argparse.Namespace) -> None:
    """Print every source of scans."""
    for layout in LAYOUTS.values():
        print(
            f"{layout.name}\n  what     {layout.description}\n  licence  {layout.licence}\n"
            f"  get      {layout.how_to_get}\n  healthy  {layout.healthy}\n"
            f"  use      uad-data index {layout.name} DIR --out cohort.csv\n"
        )
    print(
        "phantom\n  what     simulated T1, T1ce, T2 and FLAIR, or CT, with exact lesion masks; needs no download\n"
        "  licence  anatomy from the ICBM 2009a maps that come with nilearn\n  get      made here\n"
        "  healthy  simulated healthy people, and slices without lesion\n"
        "  use      uad-data phantom --out DIR, or with --modality ct"
    )


def _phantom(arguments: argparse.Namespace) -> None:
    """Make the phantom cohort."""
    cohort = write_phantom(
        arguments.out,
        subjects=arguments.subjects,
        seed=arguments.seed,
        spacing_mm=arguments.spacing,
        workers=arguments.workers,
        modality=arguments.modality,
    )
    _report(cohort, arguments.out / "cohort.csv")


def _index(arguments: argparse.Namespace) -> None:
    """Index a data set."""
    cohort = index_layout(
        arguments.layout,
        arguments.folder,
        arguments.out,
        seed=arguments.seed,
        fractions=arguments.fractions,
        pathology=arguments.pathology,
    )
    _report(cohort, arguments.out)


def _prepare(arguments: argparse.Namespace) -> None:
    """Prepare a cohort or one scan, then name all that failed."""
    recipe = find_recipe(arguments.recipe).changed(skip=arguments.skip, settings=_settings(arguments.settings))
    outcome = prepare_cohort(
        _raw_cohort(arguments.source, arguments.modality),
        recipe,
        arguments.out,
        workers=arguments.workers,
        scheduler=arguments.scheduler,
    )
    done = len(outcome.cohort)
    table = arguments.out / "cohort.csv"
    print(f"{table}: {done} scans prepared by the recipe {recipe.name!r}, {outcome.made} of them now")
    print(f"look at them: uad-data qc {arguments.out}")
    if len(outcome.failed):
        lines = "".join(f"\n  {error}" for error in outcome.failed["error"])
        raise InputError(
            f"{arguments.out / 'failed.csv'}: {len(outcome.failed)} of {done + len(outcome.failed)} scans could not be "
            f"prepared:{lines}"
        )


def _raw_cohort(source: Path, modality: str) -> Cohort:
    """Read the table, or make one of a single scan."""
    if source.suffix == ".csv":
        if modality:
            raise InputError("--modality goes with one raw scan; a table names modalities in its columns")
        return Cohort.read(source)
    if not modality:
        raise InputError(f"{source}: expected a table .csv, or one raw scan with --modality NAME")
    row = {
        "subject": source.name.partition(".")[0],
        "pathology": "unknown",
        f"image_{modality}": source.name,
    }
    return Cohort(pd.DataFrame([row]), source.parent)


def _settings(pairs: Sequence[str]) -> dict[str, object]:
    """Read STEP.SETTING=VALUE; a value is JSON where it can be, else text."""
    settings: dict[str, object] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or "." not in key:
            raise InputError(f"--set {pair}: expected STEP.SETTING=VALUE, such as resample.spacing=2")
        try:
            settings[key] = json.loads(text)
        except ValueError:
            settings[key] = text
    return settings


def _recipes(_: argparse.Namespace) -> None:
    """Print every recipe."""
    for recipe in RECIPES.values():
        print(recipe.name)
        for step in recipe.to_dict()["steps"]:
            name = step.pop("step")
            print(f"  {name:17}" + "  ".join(f"{setting}={value}" for setting, value in step.items()))
        arrays = "  ".join(f"{setting}={value}" for setting, value in recipe.arrays.items())
        print(f"  {'arrays':17}{arrays}\n")


def _report(cohort: Cohort, path: Path) -> None:
    """Say what was written."""
    subjects = cohort.table.drop_duplicates("subject")
    counts = pd.crosstab(subjects["pathology"], subjects["split"]).reindex(columns=list(SPLITS), fill_value=0)
    print(f"{path}: {len(cohort)} scans of {len(subjects)} subjects, sequences {', '.join(cohort.modalities)}")
    print(f"subjects per pathology and split:\n{counts.rename_axis(index=None, columns=None).to_string()}")


def _check(arguments: argparse.Namespace) -> None:
    """Read every scan, then name all that failed."""
    cohort = Cohort.read(arguments.cohort)
    problems = []
    for i in tqdm(range(len(cohort)), desc="reading scans", unit="scan", file=sys.stderr, disable=None):
        try:
            cohort.load(i, cohort.row_modalities(i))
        except InputError as error:
            problems.append(f"\n  {error}")
    if problems:
        raise InputError(
            f"{arguments.cohort}: {len(problems)} of {len(cohort)} scans cannot be used:{''.join(problems)}"
        )
    print(f"{arguments.cohort}: all {len(cohort)} scans can be read")
