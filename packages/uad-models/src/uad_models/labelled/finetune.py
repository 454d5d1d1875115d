"""Fine-tune the network of an anomaly detection method on a few labelled scans, or train it on them from the start.

Source: Holzschuh et al., "Combining anomaly detection and supervised learning for medical image segmentation", MIDL
2023. N = 0 labelled scans is no training: it is the anomaly map of the pre-trained run itself.
"""

from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, cast

from uad_data.arrays import ArraySpec, ArrayStore
from uad_data.errors import InputError
from uad_models.clinical.verdict import weights_digest
from uad_models.labelled.carry_over import carry_over, write_report
from uad_models.labelled.scans import label_values, labelled_view, scan_names
from uad_models.labelled.segmenter import Segmenter, SegmenterConfig
from uad_models.method import Method, MethodConfig, unknown_name
from uad_models.patches import check_patch
from uad_models.registry import method_class
from uad_models.run_folder import RunConfig, load_run
from uad_models.train_config import TrainConfig
from uad_models.training import run_training
from uad_models.training_stage import rows_of

CARRIED_OVER = "carried_over.csv"
DEFAULT_BASE = "denoising_unet"
_OF_THE_IMAGES = ("in_channels", "size", "modalities")
_OF_THE_BASE = ("base", "network")


def finetune(
    store: ArrayStore,
    run: str | Path,
    *,
    pretrained: str | Path | None = None,
    from_scratch: bool = False,
    base: str | None = None,
    base_preset: str = "quick",
    scans: int | None = None,
    validation_scans: int | None = None,
    preset: str = "quick",
    seed: int = 0,
    config: Mapping[str, Any] | None = None,
    train: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> Segmenter:
    """Train on labelled scans, or resume, or load what is already there.

    Parameters
    ----------
    store
        The prepared arrays. Labelled scans of its ``train`` split are learned from, those of ``val`` choose the weights
        by their loss.
    run
        The run folder, as `uad_models.fit` makes it; ``carried_over.csv`` says which weights were taken over and why
        others were not. `uad_models.load_run` and ``uad-models predict`` take it as any other.
    pretrained
        The folder of a finished run of the base; None trains from scratch. Where that base finds lesions already
        (``synthetic_unet``) its head is kept, and its weights stay if no validation after them is better.
    from_scratch
        Take the network of that run and not its weights: what fine-tuning is to be compared with.
    base
        The method whose network it is; None takes the pre-trained run's, from scratch ``"denoising_unet"``.
    base_preset
        Without such a run: which of the base's presets gives the network.
    scans, validation_scans
        How many labelled scans, see `uad_models.labelled.labelled_view`; None for all.
    preset
        ``"quick"`` or ``"full"``.
    seed
        At least 0; fixes the choice of scans, the new weights, and batches.
    config, train
        Settings of `SegmenterConfig` (not of the base) and of `uad_models.TrainConfig` that replace the preset's.
    progress
        Show a progress bar.

    Returns
    -------
    Segmenter
        With its best weights, on the CPU, in ``eval()`` mode.

    Raises
    ------
    InputError
        As `uad_models.fit`; also: the base's network cannot be fine-tuned, the pre-trained run is of another method or
        its images were made otherwise, there are not so many labelled scans, or a label has no class.
    """
    if scans == 0:
        raise InputError(
            "scans: expected at least 1; 0 labelled scans is the anomaly map of the pre-trained run itself"
        )
    method_config, train_config = resolve_finetune(
        store.spec,
        pretrained=pretrained,
        base=base,
        base_preset=base_preset,
        preset=preset,
        seed=seed,
        config=config,
        train=train,
    )
    weights = None if pretrained is None or from_scratch else Path(pretrained)
    view = labelled_view(store, scans=scans, validation_scans=validation_scans, seed=seed)
    _check_labels(view, method_config)
    settings = RunConfig(
        method=Segmenter.name,
        config=method_config.to_dict(),
        train=asdict(train_config),
        arrays=store.spec.to_dict(),
        digest=store.digest,
        rows={split: len(rows_of(Segmenter, view, split)) for split in ("train", "val")},
        preset=preset,
        seed=seed,
        recipe=store.recipe,
        labels={
            "scans": scan_names(view, "train"),
            "validation_scans": scan_names(view, "val"),
            "pretrained": weights_digest(weights) if weights else None,
        },
    )

    def start(method: Method) -> bool:
        """Put the pre-trained weights in and say which; whether their head, too."""
        if not (weights and isinstance(method, Segmenter)):
            return False
        told = carry_over(method, load_run(weights)[0].state_dict())
        write_report(told, Path(run) / CARRIED_OVER)
        return any(each.status == "kept" for each in told)

    return cast(Segmenter, run_training(view, Path(run), settings, start=start, progress=progress))


def resolve_finetune(
    spec: ArraySpec,
    *,
    pretrained: str | Path | None = None,
    base: str | None = None,
    base_preset: str = "quick",
    preset: str = "quick",
    seed: int = 0,
    config: Mapping[str, Any] | None = None,
    train: Mapping[str, Any] | None = None,
) -> tuple[SegmenterConfig, TrainConfig]:
    """Return all settings of a fine-tuning, and refuse what cannot be run.

    Parameters
    ----------
    spec
        How the images are made.
    pretrained, base, base_preset, preset, seed, config, train
        As `finetune`.

    Returns
    -------
    config : SegmenterConfig
        Of the network, its classes and what is trained of it.
    train : TrainConfig
        Of its training.

    Raises
    ------
    InputError
        As `finetune`, but for what depends on labels.
    """
    if preset not in Segmenter.presets:
        raise InputError(unknown_name(f"preset of method '{Segmenter.name}'", preset, list(Segmenter.presets)))
    if seed < 0:
        raise InputError(f"seed: expected at least 0, got {seed}")
    for name in (*_OF_THE_IMAGES, *_OF_THE_BASE):
        if name in (config or {}):
            raise InputError(f"{name} follows from the images and the base: choose those instead")
    name, settings = _base(pretrained, base, base_preset, spec)
    images = {"in_channels": len(spec.modalities), "modalities": spec.modalities}
    chosen = {**(config or {}), "base": name, "network": settings, **images}
    train_config = TrainConfig.from_dict({**Segmenter.presets[preset].train, **(train or {})})
    if train_config.patch:
        check_patch(train_config.patch, spec.size)
        SegmenterConfig.from_dict({**chosen, "size": train_config.patch})
    method_config = SegmenterConfig.from_dict({**chosen, "size": spec.size})
    Segmenter(method_config)  # refuses a network that cannot be fine-tuned
    return method_config, train_config


def _base(pretrained: str | Path | None, base: str | None, preset: str, spec: ArraySpec) -> tuple[str, tuple[str, ...]]:
    """Name the base and the settings of its network."""
    if pretrained is None:
        name = base or DEFAULT_BASE
        cls = method_class(name)
        if preset not in cls.presets:
            raise InputError(unknown_name(f"preset of method '{name}'", preset, list(cls.presets)))
        return name, _as_text(cls.Config.from_dict(cls.presets[preset].config))
    method, earlier = load_run(pretrained)
    if base is not None and base != earlier.method:
        raise InputError(
            f"run {pretrained} is of method '{earlier.method}', expected '{base}': weights of one family do not fit "
            "the other; leave the method out, or give a run of that method"
        )
    before = earlier.spec
    if len(before.size) != len(spec.size) or before.scaling != spec.scaling:
        raise InputError(
            f"run {pretrained} was pre-trained on images of size {before.size} scaled by {before.scaling}, these have "
            f"size {spec.size} and {spec.scaling}: expected as many dimensions and the same scaling"
        )
    return earlier.method, _as_text(method.config)


def _as_text(config: MethodConfig) -> tuple[str, ...]:
    """Write the settings of a method, but for those of its images, where they differ from the defaults."""
    usual = {each.name: each.default for each in fields(config)}
    found = {name: getattr(config, name) for name in usual if name not in _OF_THE_IMAGES}
    differing = {name: value for name, value in found.items() if value != usual[name]}
    return tuple(
        f"{name}={'+'.join(map(str, value)) if isinstance(value, tuple) else value}"
        for name, value in differing.items()
    )


def _check_labels(view: ArrayStore, config: SegmenterConfig) -> None:
    """Refuse labels that are of no class."""
    known = list(config.class_values.values())
    for split in ("train", "val") if known else ():
        other = [value for value in label_values(view, split) if value not in known]
        if other:
            raise InputError(
                f"classes: the labels of split '{split}' have the values {other} too, expected those of "
                f"{', '.join(config.classes)}; name every value, or no class to learn all as one"
            )
