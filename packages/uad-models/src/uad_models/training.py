"""The one training loop: stages, groups, validation, checkpoints, exact resume, on Lightning Fabric.

A method names its stages; each is trained to its end, its best weights are put back, and the next begins. Within a
stage every parameter group has an AdamW and a loss of its own, and the groups take turns within a step.

Randomness: step ``s`` of a stage draws from streams seeded by (seed, stage, ``s``, rank), and its batch is a function
of (seed, stage, ``s``), so the state of every random stream at a checkpoint is those integers. A run that was killed
and resumed gives, on a CPU and with the same number of threads, the same bits as one that was not. A run by the clock
(``minutes``) resumes with the time that its last checkpoint had.
"""

import errno
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.loggers.tensorboard import TensorBoardLogger
from tqdm import tqdm

from uad_data.arrays import ArraySpec, ArrayStore
from uad_data.errors import InputError
from uad_models.checkpoint import load_tensors, part, prefixed, save_tensors
from uad_models.devices import open_fabric
from uad_models.feeding import Feeder
from uad_models.method import Method, MethodConfig, unknown_name
from uad_models.patches import check_patch
from uad_models.registry import create, method_class
from uad_models.run_folder import CHECKPOINT, CONFIG, HISTORY, History, RunConfig, finish_run, load_run
from uad_models.train_config import TrainConfig
from uad_models.trained_member import take_trained
from uad_models.training_stage import Loss, Stage, validation_rows


def fit(
    method: str,
    store: ArrayStore,
    run: str | Path,
    *,
    preset: str = "quick",
    seed: int = 0,
    config: Mapping[str, Any] | None = None,
    train: Mapping[str, Any] | None = None,
    trained: Sequence[Path] = (),
    progress: bool = True,
) -> Method:
    """Train a method on the healthy rows of a store, or resume, or load what is already there.

    Parameters
    ----------
    method
        Name of the method, see `uad_models.list_methods`.
    store
        The prepared arrays; the healthy rows of its ``train`` split are trained on, those of ``val`` validated on.
    run
        The run folder, made when missing (see `uad_models.run_folder`). A finished run is loaded, an interrupted one
        resumed at its last checkpoint.
    preset
        A name of the method's presets: where settings start from.
    seed
        At least 0; fixes weights, batches and noise.
    config, train
        Settings of the method and of `TrainConfig` that replace the preset's.
    trained
        Run folders: a member of an ensemble whose training is one of these, in everything that decides it, is taken
        from there. The outcome is the same.
    progress
        Show a progress bar.

    Returns
    -------
    Method
        With its best weights, on the CPU, in ``eval()`` mode.

    Raises
    ------
    InputError
        An unknown method, preset or parameter; no healthy rows; a run folder made with other settings; a loss that is
        not finite; a full disk.

    Notes
    -----
    With ``train={"devices": 2}`` or more, Fabric starts the calling script once more per further device.
    """
    method_config, train_config = resolve(method, store.spec, preset=preset, seed=seed, config=config, train=train)
    learns = method_class(method).trained
    settings = RunConfig(
        method=method,
        config=method_config.to_dict(),
        train=asdict(train_config),
        arrays=store.spec.to_dict(),
        digest=store.digest,
        rows={split: len(store.healthy_rows(split)) for split in ("train", "val")} if learns else {},
        preset=preset,
        seed=seed,
        recipe=store.recipe,
    )
    return run_training(store, Path(run), settings, trained=trained, progress=progress)


def run_training(
    store: ArrayStore,
    run: Path,
    settings: RunConfig,
    *,
    start: Callable[[Method], bool] | None = None,
    trained: Sequence[Path] = (),
    progress: bool = True,
) -> Method:
    """Train what the settings say, or resume, or load what is already there.

    Parameters
    ----------
    store
        The prepared arrays.
    run
        The run folder.
    settings
        Everything that decides the outcome.
    start
        Puts other weights in place of the random ones that a method is made with; the run folder is there by then. True
        where they are to be kept unless training finds better ones: then they are validated first, as step 0.
    trained, progress
        As `fit`.

    Returns
    -------
    Method
        As `fit`.

    Raises
    ------
    InputError
        As `fit`, but for what settings were asked.
    """
    if (run / CONFIG).is_file():
        earlier = RunConfig.read(run)
        settings.check_same(earlier, run)
        if earlier.status == "finished":
            return load_run(run)[0]
    training = _Training(store, run, settings, start=start, trained=trained, progress=progress)
    on_gpu = training.fabric.device.type == "cuda"
    try:
        with torch.random.fork_rng(devices=[training.fabric.device] if on_gpu else []):
            return training.run_all()
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise InputError(f"no space left for {run}: make room and run the same command again, it resumes") from error


def resolve(
    method: str,
    spec: ArraySpec,
    *,
    preset: str = "quick",
    seed: int = 0,
    config: Mapping[str, Any] | None = None,
    train: Mapping[str, Any] | None = None,
) -> tuple[MethodConfig, TrainConfig]:
    """Return all settings of a run: the preset's, with ``config`` and ``train`` on top.

    Parameters
    ----------
    method, preset, seed, config, train
        As `fit`.
    spec
        How its images are made.

    Returns
    -------
    config : MethodConfig
        Of the method.
    train : TrainConfig
        Of its training.

    Raises
    ------
    InputError
        An unknown method, preset or parameter, or a value that is not valid.
    """
    cls = method_class(method)
    if cls.labelled:
        raise InputError(f"method '{method}' learns from labels: use uad_models.finetune or 'uad-models {method}'")
    if preset not in cls.presets:
        raise InputError(unknown_name(f"preset of method '{method}'", preset, list(cls.presets)))
    if seed < 0:
        raise InputError(f"seed: expected at least 0, got {seed}")
    for name in ("in_channels", "size", "modalities"):
        if name in (config or {}):
            raise InputError(f"{name} follows from the images: choose their modalities and size instead")
    chosen = cls.presets[preset]
    train_config = TrainConfig.from_dict({**chosen.train, **(train or {})})
    images = {**chosen.config, **(config or {}), "in_channels": len(spec.modalities)}
    if "modalities" in {each.name for each in fields(cls.Config)}:
        images["modalities"] = spec.modalities
    if train_config.patch:
        if not cls.any_size:
            raise InputError(f"patch: method '{method}' takes images of one size only: train it on whole images")
        check_patch(train_config.patch, spec.size)
        cls.Config.from_dict({**images, "size": train_config.patch})
    return cls.Config.from_dict({**images, "size": spec.size}), train_config


@dataclass
class _Progress:
    """Where training stands."""

    stage: int = 0
    step: int = 0
    best: float | None = None
    waited: int = 0
    history: int = 0
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)


_LAST_MOMENT = 1 - 1e-6  # of a stage's minutes, for a step behind them: the cosine must not reach 0


class _Training:
    """One run of one method."""

    def __init__(
        self,
        store: ArrayStore,
        run: Path,
        settings: RunConfig,
        *,
        start: Callable[[Method], bool] | None,
        trained: Sequence[Path],
        progress: bool,
    ) -> None:
        self.store, self.run, self.settings, self.start, self.show = store, run, settings, start, progress
        self.trained = trained
        self.config = TrainConfig(**settings.train)
        self.saved, state = self._load() if (run / CHECKPOINT).is_file() else ({}, {})
        self.at = _Progress(**state.get("progress", {}))
        purge = self._steps_done() if state else None
        self.fabric = open_fabric(
            accelerator=self.config.accelerator,
            devices=self.config.devices,
            precision=self.config.precision,
            logger=TensorBoardLogger(run, name="tensorboard", version="", purge_step=purge),
        )
        if state.get("precision"):
            self.fabric.strategy.precision.load_state_dict(state["precision"])

    def run_all(self) -> Method:
        """Run what is left of the stages and finish the run folder."""
        self.fabric.launch()
        torch.manual_seed(self.settings.seed)
        self.method = create(self.settings.method, **self.settings.config)
        self.started = time.monotonic() - self.at.seconds
        if self.fabric.is_global_zero:
            self._open_run()
        self.in_the_running = bool(self.start and self.start(self.method))
        if self.method.trained:
            self._train()
        self.method.cpu().eval()
        if self.fabric.is_global_zero:
            seconds = time.monotonic() - self.started
            finish_run(self.run, self.settings, self.method, seconds=seconds, device=self.fabric.device)
        self.fabric.barrier()
        return self.method

    def _open_run(self) -> None:
        """Write the settings; drop half-written files and the history behind the last checkpoint."""
        self.settings.write(self.run, status="running")
        for left in self.run.glob(".tmp*"):
            left.unlink()
        self.history = History(self.run / HISTORY, rows=self.at.history)
        self.history.write()

    def _train(self) -> None:
        """Train the stages that are not done."""
        loss = self.fabric.setup(Loss(self.method))
        if self.saved:
            self.method.load_state_dict(part("model", self.saved))
        for index, name in enumerate(self.method.stages):
            if index < self.at.stage:
                continue
            taken = None if self.at.step else take_trained(self.method, name, self.settings, self.trained)
            if taken is not None:
                self.started -= taken
                self._end_stage(index)
                continue
            origin, own, turn = self.method.origin(name)
            stage = Stage(
                name,
                origin.stages.index(own),
                loss=loss,
                fabric=self.fabric,
                store=self.store,
                config=self.method.train_config(name, self.config),
                seed=self.settings.seed + turn,
                losses=self.at.losses,
            )
            with closing(stage):
                self._train_stage(stage)
            self.method.load_state_dict(stage.best)
            self._end_stage(index)
        self._calibrate()
        for logger in self.fabric.loggers:
            logger.finalize("success")

    def _end_stage(self, index: int) -> None:
        """Go on to the next stage, with the weights as they are."""
        self.at = _Progress(stage=index + 1, history=self.at.history)
        self._save(prefixed("model", self.method.state_dict()))

    @torch.no_grad()
    def _calibrate(self) -> None:
        """Let the method fit what it fits after training; every rank sees all that it is to see."""
        feeder = Feeder(
            self.store,
            validation_rows(self.method, self.store, self.config),
            batch_size=self.config.batch_size,
            device=self.fabric.device,
            patch=self.config.patch,
            labels=self.method.labelled,
            covariates=self.method.covariates,
        )
        generator = torch.Generator(self.fabric.device).manual_seed(self.settings.seed)
        self.method.eval()
        with self.fabric.autocast():
            self.method.calibrate(feeder.sweep, generator=generator)

    def _train_stage(self, stage: Stage) -> None:
        """Train one stage to its last step or minute, or until its validation loss has stopped falling."""
        at, config = self.at, stage.config
        if at.step:
            stage.restore(self.saved)
        self.method.train()
        title = f"{self.method.name} {stage.name}"
        quiet = not (self.show and self.fabric.is_global_zero)
        total, spent = None if config.minutes else config.steps, self._spent()
        with tqdm(total=total, initial=at.step, desc=title, unit="step", disable=quiet) as bar:
            if self.in_the_running and not at.step:
                self._validate(stage, spent=0.0)
            # A run that resumes when its time is over may have no weights to keep yet: it takes one step more.
            while not (self._over(stage, spent) and stage.best) and not 0 < config.patience <= at.waited:
                now = min(spent, _LAST_MOMENT)
                stage.step(at.step, spent=now)
                at.step += 1
                bar.update()
                spent = self._spent()
                if at.step % config.validate_every == 0 or self._over(stage, spent):
                    bar.set_postfix(val_loss=f"{self._validate(stage, spent=now):.4g}", best=f"{at.best:.4g}")
                if at.step % config.checkpoint_every == 0:
                    self._save(stage.tensors())

    def _over(self, stage: Stage, spent: float) -> bool:
        """Tell whether a stage has had its steps, or its share of the minutes."""
        return spent >= 1 if self.config.minutes else self.at.step >= stage.config.steps

    def _spent(self) -> float:
        """Give the share of the present stage's minutes that is over, as the first rank's clock has it; else 0."""
        if not self.config.minutes:
            return 0.0
        share = (time.monotonic() - self.started) / (60 * self.config.minutes) * len(self.method.stages)
        return max(0.0, self.fabric.broadcast(share - self.at.stage))

    def _validate(self, stage: Stage, *, spent: float) -> float:
        """Validate, write it down, keep the weights if they are the best so far; return the validation loss."""
        at, config = self.at, stage.config
        since = (at.step - 1) % config.validate_every + 1
        seen = stage.train_losses(since) if at.step else {}
        losses = {f"train_{name}": value for name, value in seen.items()}
        losses |= {f"val_{name}": value for name, value in stage.validate().items()}
        if not all(math.isfinite(value) for value in losses.values()):
            raise InputError(
                f"the losses of stage '{stage.name}' are not finite at step {at.step}: {losses}; "
                f"choose a learning_rate below {config.learning_rate} or a gradient_clip"
            )
        loss = losses["val_loss"]
        if at.best is None or loss < at.best:
            at.best, at.waited = loss, 0
            stage.keep_best()
        else:
            at.waited += 1
        at.history += 1
        if self.fabric.is_global_zero:
            numbers = losses | {"learning_rate": stage.learning_rate_at(max(at.step - 1, 0), spent=spent)}
            seconds = round(time.monotonic() - self.started, 3)
            self.history.add({"stage": stage.name, "step": at.step, **numbers, "seconds": seconds})
            self.fabric.log_dict(numbers, step=self._steps_done())
        at.losses.append(loss)
        if stage.plateau:
            stage.plateau.note(loss)
        return loss

    def _save(self, tensors: dict[str, torch.Tensor]) -> None:
        """Write a checkpoint."""
        if self.fabric.is_global_zero:
            self.at.seconds = time.monotonic() - self.started
            state = {
                "progress": asdict(self.at),
                "precision": self.fabric.strategy.precision.state_dict(),
                "settings": self.settings.fingerprint,
            }
            save_tensors(self.run / CHECKPOINT, tensors, method=self.settings.method, state=state)

    def _load(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """Read the checkpoint of this run."""
        path = self.run / CHECKPOINT
        tensors, state = load_tensors(path, method=self.settings.method)
        if state["settings"] != self.settings.fingerprint:
            raise InputError(f"{path} belongs to a run with other settings: delete it to train from the start")
        return tensors, state

    def _steps_done(self) -> int:
        """Count steps over all stages, for TensorBoard."""
        return self.at.stage * self.config.steps + self.at.step
