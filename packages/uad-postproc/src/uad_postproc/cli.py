"""The command ``uad-postproc``: list the pipelines, apply one to an anomaly map."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import nibabel as nib
import numpy as np

from uad_postproc.context import Context
from uad_postproc.errors import InputError
from uad_postproc.nifti import Volume, check_output, read_map, read_mask, write_mask
from uad_postproc.pipeline import Pipeline, step_settings
from uad_postproc.pipelines import PIPELINES, pipeline
from uad_postproc.steps.morphology import enclosed

_MAP = "_map.nii.gz"


class _Parser(argparse.ArgumentParser):
    """Reports a wrong command line like any other wrong input: one line."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message} (see {self.prog} --help)")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; by default those of the process.

    Returns
    -------
    int
        0, or 2 after bad input, with one line on standard error.
    """
    try:
        arguments = _parser().parse_args(argv)
        arguments.run(arguments)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    """Build the parser of the command and its two subcommands."""
    parser = _Parser(prog="uad-postproc", description="From anomaly map to lesion mask.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    listing = commands.add_parser("list", help="list the pipelines and their steps")
    listing.set_defaults(run=_list)

    apply = commands.add_parser(
        "apply",
        help="turn an anomaly map into a mask",
        description="Turn an anomaly map into a mask on the map's own grid. The threshold is either given, or fitted "
        "on a folder of validation scans that are not among those you report on, or not needed by the pipeline.",
        epilog="example: uad-postproc apply --pipeline poster2023 --threshold 0.12 scan_map.nii.gz "
        "--brain scan_brain.nii.gz --out scan_mask.nii.gz",
    )
    apply.add_argument("map", type=Path, metavar="MAP", help="anomaly map, 3D .nii.gz or .nii; high is anomalous")
    apply.add_argument("--pipeline", required=True, metavar="NAME", help="a name from 'uad-postproc list'")
    threshold = apply.add_mutually_exclusive_group()
    threshold.add_argument("--threshold", type=float, metavar="VALUE", help="mark what lies above this value")
    threshold.add_argument(
        "--fit",
        type=Path,
        metavar="VAL_DIR",
        help="fit the pipeline's own threshold on a folder that holds ID_map.nii.gz, ID_brain.nii.gz and, where there "
        "are labels, ID_lesion.nii.gz; scans without labels count as healthy; nothing is fitted where the pipeline "
        "needs no fit",
    )
    apply.add_argument(
        "--brain",
        type=Path,
        help="brain mask on the map's grid; by default the map's non-zero voxels with their holes filled",
    )
    apply.add_argument(
        "--slices",
        action="store_true",
        help="treat each axial slice by itself, for maps of 2D methods and for thick slices; default is 3D",
    )
    apply.add_argument("--out", type=Path, required=True, metavar="MASK", help="mask to write, .nii.gz or .nii")
    apply.set_defaults(run=_apply)
    return parser


def _list(_: argparse.Namespace) -> None:
    """Print every pipeline with its steps and settings."""
    for made in PIPELINES.values():
        labels = "needs lesion labels to fit" if made.needs_labels else "needs no lesion labels"
        labels += "" if made.needs_fit else ", needs no fit"
        print(f"{made.name}: {made.description} ({labels})")
        for step in made.steps:
            settings = {name: value for name, value in step_settings(step).items() if value is not None}
            print(f"    {type(step).__name__}({', '.join(f'{name}={value}' for name, value in settings.items())})")


def _apply(arguments: argparse.Namespace) -> None:
    """Read the map, set or fit the threshold, write the mask, say what came out."""
    chosen = pipeline(arguments.pipeline)
    check_output(arguments.out, arguments.map)
    if arguments.threshold is None and arguments.fit is None and chosen.needs_fit:
        raise InputError(
            f"pipeline {chosen.name!r} has no threshold of its own: give --threshold VALUE or --fit VAL_DIR"
        )
    volume = read_map(arguments.map)
    brain = _guess_brain(volume) if arguments.brain is None else read_mask(arguments.brain, volume)
    if not brain.any():
        raise InputError(f"{arguments.brain}: expected a brain mask, found no voxel set")
    if arguments.fit is not None:
        ready = _fit(chosen, arguments.fit, slices=arguments.slices)
    else:
        ready = chosen if arguments.threshold is None else chosen.with_threshold(arguments.threshold)
    axis = _slice_axis(volume, slices=arguments.slices)
    mask = _restore(ready.mask(_items(volume.array, axis), _context(volume, brain, axis)), axis)
    write_mask(arguments.out, mask, volume)
    ml = mask.sum() * abs(np.linalg.det(volume.image.affine[:3, :3])) / 1000
    value = ready.threshold.value
    threshold = "of the map's own" if value is None else f"{value:.6g}"
    print(f"{arguments.out}: threshold {threshold}, {mask.sum()} voxels, {ml:.3g} ml")


def _fit(chosen: Pipeline, folder: Path, *, slices: bool) -> Pipeline:
    """Fit a pipeline on the scans of a folder, one after the other; their grids may differ."""
    if not chosen.needs_fit:
        print(f"note: pipeline {chosen.name!r} needs no fit, {folder} is not read", file=sys.stderr)
        return chosen
    maps = sorted(folder.glob(f"*{_MAP}"))
    if not maps:
        raise InputError(f"{folder}: expected a folder with validation maps named ID{_MAP}, found none")
    scores, lesions = [], []
    for path in maps:
        case = path.name.removesuffix(_MAP)
        volume = read_map(path)
        brain = read_mask(folder / f"{case}_brain.nii.gz", volume)
        labels = folder / f"{case}_lesion.nii.gz"
        if chosen.needs_labels and not labels.exists():
            raise InputError(f"{labels}: no such file; pipeline {chosen.name!r} needs lesion labels to fit")
        lesion = read_mask(labels, volume) if labels.exists() else np.zeros_like(brain)
        axis = _slice_axis(volume, slices=slices)
        score = _restore(chosen.score(_items(volume.array, axis), _context(volume, brain, axis)), axis)
        scores.append(score[brain])
        lesions.append(lesion[brain])
    return chosen.fit_voxels(np.concatenate(scores), np.concatenate(lesions))


def _guess_brain(volume: Volume) -> np.ndarray:
    """Take the map's non-zero voxels as the brain, with their holes filled."""
    print("note: no --brain given, the map's non-zero voxels are taken as the brain", file=sys.stderr)
    nonzero = (volume.array != 0)[None]
    return (nonzero | enclosed(nonzero))[0]


def _slice_axis(volume: Volume, *, slices: bool) -> int | None:
    """Axis along which slices are treated one by one: the axial one if asked, that of a single slice always."""
    if 1 in volume.array.shape:
        return volume.array.shape.index(1)
    if not slices:
        return None
    return next(axis for axis, code in enumerate(nib.aff2axcodes(volume.image.affine)) if code in ("S", "I"))


def _items(array: np.ndarray, axis: int | None) -> np.ndarray:
    """See a volume (i, j, k) as items (n, *spatial): its slices along an axis, or the one volume."""
    return array[None] if axis is None else np.moveaxis(array, axis, 0)


def _restore(items: np.ndarray, axis: int | None) -> np.ndarray:
    """Undo `_items`."""
    return items[0] if axis is None else np.moveaxis(items, 0, axis)


def _context(volume: Volume, brain: np.ndarray, axis: int | None) -> Context:
    """Brain and voxel size of a volume seen as items."""
    sizes = [float(size) for size in nib.affines.voxel_sizes(volume.image.affine)]
    thickness = None if axis is None else sizes.pop(axis)
    return Context(_items(brain, axis), sizes, slice_thickness=thickness)
