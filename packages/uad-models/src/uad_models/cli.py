"""The command ``uad-models``: list, train, predict, finetune."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning_fabric.utilities.rank_zero import rank_zero_only

from uad_data.arrays import ArraySpec, ArrayStore, build_arrays
from uad_data.cohort import Cohort
from uad_data.errors import InputError
from uad_models.clinical.scan_prediction import Prediction, predict_cohort, predict_scan
from uad_models.clinical.verdict import HEALTHY_SHARE, check_share, fit_verdict
from uad_models.labelled.carry_over import read_report, summary
from uad_models.labelled.finetune import CARRIED_OVER, DEFAULT_BASE, finetune, resolve_finetune
from uad_models.labelled.segmenter import SegmenterConfig
from uad_models.overrides import parse_overrides
from uad_models.registry import DEFAULT_METHOD, list_methods, method_class
from uad_models.run_folder import RunConfig
from uad_models.train_config import TrainConfig
from uad_models.training import fit, resolve
from uad_postproc import InputError as PipelineError

_CACHE = ".uad-cache"
_FLAGS = {
    "size": "--size",
    "in_channels": "--modalities",
    "modalities": "--modalities",
    "accelerator": "--accelerator",
    "devices": "--devices",
    "precision": "--precision",
}
_FINETUNE_FLAGS = _FLAGS | {"base": "--method", "network": "--pretrained or --base-preset", "classes": "--classes"}
_DESCRIPTION = """\
Train methods of unsupervised anomaly detection on healthy brain scans, and find what is anomalous in others.

Examples:
  uad-data phantom --subjects 60 --out phantom
  uad-models list
  uad-models train --cohort phantom/cohort.csv --out runs/first
  uad-models predict --run runs/first phantom/sub-003/flair.nii.gz --out sub-003
  uad-models predict --run runs/first --cohort phantom/cohort.csv --split test --out found
"""
_TRAIN = """\
Train a method on the healthy slices of a cohort's 'train' split; those of its 'val' split decide which weights
are kept, and fit the threshold that 'predict' uses (RUN/pipeline.json).
If it is interrupted, the same command resumes. If it is finished, the same command does nothing.

Examples:
  uad-models train --cohort phantom/cohort.csv --preset full --out runs/first
  uad-models train --method vae --cohort cohort.csv --modalities t1 flair --size 192 192 --preset paper \\
      --seed 1 --out runs/vae-1 --set latent_dim=64 --set learning_rate=3e-4 --set patience=10
  uad-models train --method ae --cohort cohort.csv --size 64 64 64 --out runs/ae-3d
"""
_FINETUNE = """\
Learn from labels: train a network on scans whose lesions are drawn (column 'lesion'), those of the cohort's 'train'
split; those of 'val' decide by their loss which weights are kept, so their labels are used too. The network begins as
that of a run of 'uad-models train', which has seen no label, or from scratch. RUN/carried_over.csv says which weights
were taken over. If it is interrupted, the same command resumes. With no labelled scan there is nothing to train: that
is 'uad-models predict' with the first run.

Examples:
  uad-models train --method denoising_unet --cohort phantom/cohort.csv --out runs/denoising
  uad-models finetune --pretrained runs/denoising --cohort phantom/cohort.csv --scans 4 --out runs/four
  uad-models finetune --method denoising_unet --cohort phantom/cohort.csv --scans 4 --out runs/four-from-scratch
  uad-models finetune --pretrained runs/brats --cohort brats/cohort.csv --out runs/tumour \\
      --classes non_enhancing_core=1 oedema=2 enhancing=4 --set encoder=frozen --set rate_decay=0.8
  uad-models predict --run runs/four phantom/sub-003/flair.nii.gz --out sub-003
"""
_SET = (
    "change one setting of the method, of its training or of the images (slices, scaling); repeatable; "
    "an unknown KEY is answered with all known ones"
)
_PREDICT = """\
Find what is anomalous in a scan. DIR gets map.nii.gz (higher is more anomalous) and mask.nii.gz, both in the scan's own
grid, orientation and header, lesions.csv (one line per finding) and report.html (one page that opens offline). For a
cohort, each scan gets a folder of its own in DIR; run again, scans that are done are skipped.

A raw scan is prepared as the run's scans were. The threshold was fitted on healthy people when the run was trained.
Research use only.

Examples:
  uad-models predict --run runs/ae flair.nii.gz --out case7          # case7/report.html
  uad-models predict --run runs/vae-1 t1.nii.gz flair.nii.gz --out case7 --brain brain.nii.gz
  uad-models predict --run runs/ae --cohort cohort.csv --split test --out found
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    argv
        Its arguments; None takes the process's.

    Returns
    -------
    int
        Exit status: 0, 2 for input that cannot be used, 130 when interrupted.
    """
    arguments = _parser().parse_args(argv)
    try:
        arguments.run_command(arguments)
    except (InputError, PipelineError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ninterrupted: resume with the same command", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    """All commands and options."""
    parser = argparse.ArgumentParser(
        "uad-models", description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    listing = commands.add_parser(
        "list", help="the methods that can be trained", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    listing.set_defaults(run_command=_list)
    _add_train(
        commands.add_parser(
            "train", help="train a method", description=_TRAIN, formatter_class=argparse.RawDescriptionHelpFormatter
        )
    )
    _add_finetune(
        commands.add_parser(
            "finetune",
            help="train on labelled scans, from a trained method or from scratch",
            description=_FINETUNE,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
    )
    _add_predict(
        commands.add_parser(
            "predict",
            help="find what is anomalous in a scan",
            description=_PREDICT,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
    )
    return parser


def _add_train(parser: argparse.ArgumentParser) -> None:
    """Options of ``train``."""
    add = parser.add_argument
    add(
        "--method",
        default=DEFAULT_METHOD,
        metavar="NAME",
        help="which method, see 'uad-models list' (default: %(default)s)",
    )
    add("--preset", default="quick", metavar="NAME", help="settings to start from, see 'list' (default: %(default)s)")
    add("--seed", default=0, type=int, metavar="N", help="fixes weights, batches and noise (default: 0)")
    _add_images(parser, "of the recipe that CSV was prepared by, else")
    parser.set_defaults(run_command=_train)


def _add_finetune(parser: argparse.ArgumentParser) -> None:
    """Options of ``finetune``."""
    add = parser.add_argument
    add("--pretrained", type=Path, metavar="RUN", help="a finished run to begin with (default: from scratch)")
    add("--from-scratch", action="store_true", help="take the network of that run and not its weights, to compare")
    add(
        "--method",
        metavar="NAME",
        help=f"whose network it is (default: that of --pretrained; without it {DEFAULT_BASE})",
    )
    add("--base-preset", default="quick", metavar="NAME", help="without a run: of that method (default: %(default)s)")
    add("--scans", type=int, metavar="N", help="labelled scans to learn from (default: all that have a lesion)")
    add("--validation-scans", type=int, metavar="N", help="labelled scans that choose the weights (default: all)")
    add("--classes", nargs="+", default=[], metavar="NAME=VALUE", help="(default: one class, every label not 0)")
    add("--preset", default="quick", metavar="NAME", help="quick or full (default: %(default)s)")
    add("--seed", default=0, type=int, metavar="N", help="fixes scans, weights and batches (default: 0)")
    _add_images(parser, "of --pretrained, else of the recipe that CSV was prepared by, else")
    parser.set_defaults(run_command=_finetune)


def _add_images(parser: argparse.ArgumentParser, default: str) -> None:
    """Options that say what is trained on, where, and where it goes."""
    add = parser.add_argument
    add("--cohort", required=True, type=Path, metavar="CSV", help="table of scans, see 'uad-data index'")
    add("--out", required=True, type=Path, metavar="RUN", help="run folder: weights, settings, history, curves")
    add(
        "--modalities",
        nargs="+",
        metavar="NAME",
        help=f"sequences, one channel each (default: those {default} flair)",
    )
    add(
        "--size",
        nargs="+",
        type=int,
        metavar="N",
        help=f"H W: slices; D H W: volumes (default: that {default} 128 128)",
    )
    add("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides", help=_SET)
    add(
        "--healthy-share",
        type=float,
        default=HEALTHY_SHARE,
        metavar="SHARE",
        help="of a healthy brain that 'predict' may mark, in the mean of 'val' (default: %(default)s, about 6 ml)",
    )
    add("--cache", type=Path, metavar="DIR", help=f"where prepared images are kept (default: {_CACHE} beside CSV)")
    add("--accelerator", default="auto", metavar="NAME", help="auto (default), cpu, cuda or mps")
    add("--devices", default=1, type=int, metavar="N", help="how many of them (default: 1)")
    add("--precision", default="32-true", metavar="NAME", help="32-true (default), bf16-mixed, or 16-mixed on GPU")


def _add_predict(parser: argparse.ArgumentParser) -> None:
    """Options of ``predict``."""
    add = parser.add_argument
    add("scans", nargs="*", metavar="SCAN", help="the sequences of one scan, in the order that RUN was trained with")
    add("--run", required=True, type=Path, metavar="RUN", help="folder of a finished run")
    add("--out", required=True, type=Path, metavar="DIR", help="folder for the results")
    add("--brain", type=Path, metavar="FILE", help="brain mask of the scan (default: the brain is found)")
    add("--prepared", action="store_true", help="the scan went through the run's recipe already")
    add("--threshold", type=float, metavar="VALUE", help="of the map (default: the run's, fitted on healthy people)")
    add("--cohort", type=Path, metavar="CSV", help="the scans of this table instead of SCAN")
    add("--split", choices=("train", "val", "test"), help="only this split of the cohort (default: all)")
    add("--accelerator", default="auto", metavar="NAME", help="auto (default), cpu, cuda or mps")
    parser.set_defaults(run_command=_predict)


def _list(_: argparse.Namespace) -> None:
    """Print the methods."""
    classes = {name: method_class(name) for name in list_methods()}
    width = max(map(len, classes))
    for name, cls in classes.items():
        about = (cls.__doc__ or "").strip().partition("\n")[0]
        learns = "" if cls.trained else " (nothing to train)"
        print(f"{name:{width}}  {about}{learns} Presets: {', '.join(cls.presets)}.")


def _train(arguments: argparse.Namespace) -> None:
    """Prepare the images and train."""
    groups = {"the method": method_class(arguments.method).Config, "training": TrainConfig, "the images": ArraySpec}
    chosen = parse_overrides(arguments.overrides, groups, flags=_FLAGS)
    settings = _settings(arguments, chosen["the method"], chosen["training"])
    cohort = Cohort.read(arguments.cohort)
    spec = _spec(arguments, (cohort.recipe or {}).get("arrays", {}), chosen["the images"])
    resolve(arguments.method, spec, **settings)  # a wrong setting is told before the images are prepared
    store = _prepared(arguments, cohort, spec)
    fit(arguments.method, store, arguments.out, **settings)
    print(f"finished: {arguments.out}")
    if getattr(rank_zero_only, "rank", 0) == 0:  # training may have started further processes
        _fit_threshold(arguments, store)


def _finetune(arguments: argparse.Namespace) -> None:
    """Prepare the images and train on their labels."""
    groups = {"fine-tuning": SegmenterConfig, "training": TrainConfig, "the images": ArraySpec}
    chosen = parse_overrides(arguments.overrides, groups, flags=_FINETUNE_FLAGS)
    config = chosen["fine-tuning"] | {"classes": tuple(arguments.classes)}
    settings = _settings(arguments, config, chosen["training"])
    settings |= {"pretrained": arguments.pretrained, "base": arguments.method, "base_preset": arguments.base_preset}
    cohort = Cohort.read(arguments.cohort)
    before = (
        RunConfig.read(arguments.pretrained).arrays if arguments.pretrained else (cohort.recipe or {}).get("arrays")
    )
    spec = _spec(arguments, before or {}, chosen["the images"])
    resolve_finetune(spec, **settings)  # a wrong setting is told before the images are prepared
    store = _prepared(arguments, cohort, spec)
    counts = {"scans": arguments.scans, "validation_scans": arguments.validation_scans}
    finetune(store, arguments.out, from_scratch=arguments.from_scratch, **counts, **settings)
    if getattr(rank_zero_only, "rank", 0) == 0:
        labels = RunConfig.read(arguments.out).labels or {}
        seen, chosen_by = len(labels["scans"]), len(labels["validation_scans"])
        print(f"labels seen: of {seen} scan(s), and of {chosen_by} to choose the weights")
        if arguments.pretrained and not arguments.from_scratch:
            print(f"{arguments.out / CARRIED_OVER}: {summary(read_report(arguments.out / CARRIED_OVER))}")
        print(f"finished: {arguments.out}")
        _fit_threshold(arguments, store)


def _settings(arguments: argparse.Namespace, config: dict[str, Any], train: dict[str, Any]) -> dict[str, Any]:
    """Collect what every training is told."""
    check_share(arguments.healthy_share)  # told before anything is trained
    where = {name: getattr(arguments, name) for name in ("accelerator", "devices", "precision")}
    return {"preset": arguments.preset, "seed": arguments.seed, "config": config, "train": train | where}


def _spec(arguments: argparse.Namespace, before: dict[str, Any], chosen: dict[str, Any]) -> ArraySpec:
    """Decide how images are made: as before, but for what is asked for."""
    given = {name: getattr(arguments, name) for name in ("size", "modalities") if getattr(arguments, name)}
    return ArraySpec.from_dict({**before, **given, **chosen})


def _prepared(arguments: argparse.Namespace, cohort: Cohort, spec: ArraySpec) -> ArrayStore:
    """Prepare the images, or open what was prepared before."""
    cache = arguments.cache or arguments.cohort.parent / _CACHE
    return build_arrays(cohort.with_modalities(spec.modalities), spec, cache=cache)


def _fit_threshold(arguments: argparse.Namespace, store: ArrayStore) -> None:
    """Fit the run's threshold where there are healthy people to fit it on, and say so."""
    try:
        store.healthy_rows("val")
    except InputError as error:
        print(f"no threshold was fitted, so that 'predict' writes maps only, or needs --threshold: {error}")
        return
    verdict = fit_verdict(
        arguments.out, store, healthy_share=arguments.healthy_share, accelerator=arguments.accelerator
    )
    print(
        f"threshold: {verdict.threshold:.4g}; with it {verdict.healthy_mean:.2%} of the brain is marked in scans of "
        f"{verdict.people} people, where they have no lesion"
    )


def _predict(arguments: argparse.Namespace) -> None:
    """Predict a scan or a cohort."""
    if bool(arguments.scans) == bool(arguments.cohort):
        raise InputError("give either the files of one scan or --cohort CSV")
    if arguments.cohort and arguments.brain:
        raise InputError("--brain goes with the files of one scan; a cohort names its masks in its column 'brain'")
    names = ("prepared", "threshold", "accelerator")
    options = {name: getattr(arguments, name) for name in names}
    if arguments.cohort:
        cohort = Cohort.read(arguments.cohort)
        chosen = cohort.select(split=arguments.split) if arguments.split else cohort
        made = predict_cohort(arguments.run, chosen, arguments.out, **options)
    else:
        made = [predict_scan(arguments.run, arguments.scans, arguments.out, brain=arguments.brain, **options)]
    for one in made:
        print(_line(one))


def _line(prediction: Prediction) -> str:
    """Say in one line what was found, and where to read on."""
    said = "no threshold, map only"
    if prediction.findings is not None:
        said = f"{prediction.findings} finding{'' if prediction.findings == 1 else 's'}"
        said += "" if prediction.total_ml is None else f", {prediction.total_ml:.1f} ml"
        if prediction.share_judged is not None and prediction.share_judged < 1:
            said += f", {prediction.share_judged:.1%} of the brain judged"
    doubt = f" ({len(prediction.warnings)} warning(s), see the report)" if prediction.warnings else ""
    return f"{prediction.folder / 'report.html'}: {said}{doubt}"
