"""One stage of a method in training: its optimisers, a step, a validation, and its state as tensors."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import AdamW

from uad_data.arrays import ArrayStore
from uad_models.checkpoint import optimiser_tensors, part, prefixed, restore_optimisers
from uad_models.extracted import Extracted, pays
from uad_models.feeding import Batch, Feeder
from uad_models.method import Method
from uad_models.moving_average import MovingAverage
from uad_models.plateau import Plateau
from uad_models.train_config import TrainConfig

_VALIDATION = 2**32 - 1  # where a stream has the step: no training step has this number


class Loss(nn.Module):
    """A method's loss as a forward pass, which is what Fabric wraps.

    Parameters
    ----------
    method
        The method in training.
    """

    def __init__(self, method: Method) -> None:
        super().__init__()
        self.method = method

    def forward(self, read: Callable[[], Batch], **which: Any) -> dict[str, Tensor]:
        """Return the loss of a batch.

        Parameters
        ----------
        read
            Gives the batch. Called in here, because Fabric would round images that are handed in to half precision.
        **which
            Stage, group and generator, see `Method.loss`.

        Returns
        -------
        dict
            As `Method.loss`.
        """
        return self.method.loss(read(), **which)


class Stage:
    """A stage in training.

    Parameters
    ----------
    name, index
        The stage, and its place among the stages of the method whose it is, see `Method.origin`.
    loss
        What ``fabric.setup`` made of `Loss`.
    fabric
        Device, precision and ranks.
    store
        The prepared arrays.
    config
        How to train.
    seed
        Of the run, or of a member.
    losses
        Validation losses that the stage has had before it was interrupted.

    Attributes
    ----------
    kept
        The method that is validated and kept: the moving average if there is one, else the method in training.
    best
        Weights of ``kept`` at the best validation, by name.
    """

    def __init__(
        self,
        name: str,
        index: int,
        *,
        loss: Any,
        fabric: Fabric,
        store: ArrayStore,
        config: TrainConfig,
        seed: int,
        losses: list[float],
    ) -> None:
        self.name, self.loss, self.fabric, self.config = name, loss, fabric, config
        self.method: Method = loss.module.method
        self.average = MovingAverage(self.method, config.ema_decay) if config.ema_decay else None
        self.kept = self.average.method if self.average else self.method
        self.best: dict[str, Tensor] = {}
        self.plateau = Plateau(config, losses) if config.schedule == "plateau" else None
        self.optimisers: dict[str, Any] = {
            group: fabric.setup_optimizers(self._optimiser(parameters))
            for group, parameters in self.method.parameter_groups(name).items()
        }
        self._sums: dict[str, Tensor] = {}
        self._streams = (seed, index)
        self._generator = torch.Generator(fabric.device)
        self._val: Feeder | Extracted = self._feeder(store, validation_rows(self.method, store, config))
        # Groups take turns on the same batches.
        keep = config.accumulate if len(self.optimisers) > 1 else 0
        self._train: Feeder | Extracted = self._feeder(
            store,
            rows_of(self.method, store, "train"),
            augmentation=config.augmentation,
            workers=config.workers,
            keep=keep,
        )
        if name in self.method.extracted and pays(config, len(self._train.rows)):
            self._val, self._train = self._extracted(self._val), self._extracted(self._train)

    def step(self, step: int, *, spent: float = 0.0) -> None:
        """Take one optimiser step in every group, in turn.

        Parameters
        ----------
        step
            From 0.
        spent
            See `TrainConfig.learning_rate_at`.
        """
        config = self.config
        self._seed(step)
        for group, optimiser in self.optimisers.items():
            for each in optimiser.param_groups:
                each["lr"] = self.learning_rate_at(step, spent=spent) * each["factor"]
            # Of all groups: an opponent's loss leaves gradients in weights that it does not train.
            self.loss.zero_grad()
            for forward in range(config.accumulate):
                last = forward == config.accumulate - 1
                with nullcontext() if last else self.fabric.no_backward_sync(self.loss):
                    losses = self._losses(self._train, step * config.accumulate + forward, group)
                    self.fabric.backward(losses["loss"] / config.accumulate)
                self._add(group, losses)
            if config.gradient_clip:
                self.fabric.clip_gradients(
                    self.loss, optimiser, max_norm=config.gradient_clip, error_if_nonfinite=False
                )
            optimiser.step()
        if self.average:
            self.average.update(self.method, step)

    def learning_rate_at(self, step: int, *, spent: float = 0.0) -> float:
        """Return the learning rate of a step, plateaus so far included.

        Parameters
        ----------
        step
            From 0.
        spent
            See `TrainConfig.learning_rate_at`.

        Returns
        -------
        float
            Above 0.
        """
        return self.config.learning_rate_at(step, spent=spent) * (self.plateau.share if self.plateau else 1.0)

    def train_losses(self, steps: int) -> dict[str, float]:
        """Return the mean losses since the last call.

        Parameters
        ----------
        steps
            How many steps that was.

        Returns
        -------
        dict
            Name to mean over steps and ranks; with several groups the name starts with the group's.
        """
        count = steps * self.config.accumulate
        means = self._over_ranks({name: total / count for name, total in self._sums.items()}, self.fabric.world_size)
        self._sums = {}
        return means

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Return the mean losses of the first group over the validation rows, with the same noise each time.

        Returns
        -------
        dict
            Name to mean over images.
        """
        group = next(iter(self.optimisers))
        sums: dict[str, Tensor] = {}
        self.kept.eval()
        for number, batch in enumerate(self._val.sweep()):
            self._seed(_VALIDATION, number)
            with self.fabric.autocast():
                losses = self.kept.loss(batch, stage=self.name, group=group, generator=self._generator)
            for name, value in losses.items():
                sums[name] = sums.get(name, 0) + value.float() * len(next(iter(batch.values())))
        self.kept.train()
        return self._over_ranks(sums, len(self._val.rows))

    def keep_best(self) -> None:
        """Remember the present weights as the best ones."""
        self.best = {name: tensor.detach().clone() for name, tensor in self.kept.state_dict().items()}

    def tensors(self) -> dict[str, Tensor]:
        """Return all that the stage needs to go on, for a checkpoint.

        Returns
        -------
        dict
            Weights, best weights, average, optimiser moments and running sums, by prefixed name.
        """
        parts: dict[str, Mapping[str, Tensor]] = {
            "best": self.best,
            "average": self.average.method.state_dict() if self.average else {},
            "optimiser": optimiser_tensors(self.optimisers),
            "sum": self._sums,
        }
        found = prefixed("model", self.method.state_dict())
        for name, tensors in parts.items():
            found |= prefixed(name, tensors)
        return found

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Take back what `tensors` gave.

        Parameters
        ----------
        tensors
            On any device.
        """
        device = self.fabric.device
        self.method.load_state_dict(part("model", tensors))
        if self.average:
            self.average.method.load_state_dict(part("average", tensors))
        self.best = {name: tensor.to(device) for name, tensor in part("best", tensors).items()}
        self._sums = {name: tensor.to(device) for name, tensor in part("sum", tensors).items()}
        restore_optimisers(self.optimisers, part("optimiser", tensors))

    def close(self) -> None:
        """End the processes that make batches ahead of time."""
        self._train.close()

    def _optimiser(self, parameters: list[nn.Parameter]) -> AdamW:
        """AdamW, fused where the precision's loss scaling and the device allow it; each parameter at its own rate."""
        fused = self.fabric.device.type in ("cpu", "cuda") and self.config.precision != "16-mixed"
        config = self.config
        factors = {each: self.method.learning_rate_factor(name) for name, each in self.method.named_parameters()}
        alike: dict[float, list[nn.Parameter]] = {}
        for each in parameters:
            alike.setdefault(factors[each], []).append(each)
        groups = [{"params": each, "factor": factor} for factor, each in alike.items()]
        return AdamW(groups, lr=config.learning_rate, weight_decay=config.weight_decay, fused=fused)

    def _feeder(self, store: ArrayStore, rows: np.ndarray, **training: Any) -> Feeder:
        """Batches of some rows."""
        return Feeder(
            store,
            rows,
            batch_size=self.config.batch_size,
            seed=_stream(*self._streams),
            rank=self.fabric.global_rank,
            world=self.fabric.world_size,
            device=self.fabric.device,
            patch=self.config.patch,
            labels=self.method.labelled,
            covariates=self.method.covariates,
            **training,
        )

    def _extracted(self, feeder: Feeder) -> Extracted:
        """Make of all images what the stage needs of them, in the precision of training."""
        with self.fabric.autocast():
            return Extracted(feeder, partial(self.method.extract, stage=self.name))

    def _losses(self, feeder: Feeder | Extracted, number: int, group: str) -> dict[str, Tensor]:
        """Losses of a training batch."""
        return self.loss(partial(feeder.batch, number), stage=self.name, group=group, generator=self._generator)

    def _seed(self, *place: int) -> None:
        """Set all random numbers of a place in training: the generator, and torch's global state for dropout."""
        seed = _stream(*self._streams, *place, self.fabric.global_rank)
        self._generator.manual_seed(seed)
        # Not torch.manual_seed: without a GPU that queues a call for each device type, and keeps it for ever.
        torch.default_generator.manual_seed(seed)
        if self.fabric.device.type == "cuda":
            torch.cuda.manual_seed(seed)

    def _add(self, group: str, losses: Mapping[str, Tensor]) -> None:
        """Add to the running sums, which stay on the device: reading them would make it wait."""
        for name, value in losses.items():
            label = name if group == "all" else f"{group}_{name}"
            self._sums[label] = self._sums.get(label, 0) + value.detach().float()

    def _over_ranks(self, sums: Mapping[str, Tensor], count: int) -> dict[str, float]:
        """Sum over ranks, divided by a count."""
        total = cast(Tensor, self.fabric.all_reduce(torch.stack(list(sums.values())), reduce_op="sum"))
        return dict(zip(sums, (total / count).tolist(), strict=True))


def rows_of(method: Method | type[Method], store: ArrayStore, split: str) -> np.ndarray:
    """Return the rows of a split that a method learns from or is validated on.

    Parameters
    ----------
    method
        Or its class.
    store
        The prepared arrays; for a labelled method the view that `uad_models.labelled.scans.labelled_view` gives.
    split
        ``"train"`` or ``"val"``.

    Returns
    -------
    ndarray
        ``(n,)`` int: the healthy rows; for a labelled method all.

    Raises
    ------
    InputError
        There is no healthy row.
    """
    return store.rows(split) if method.labelled else store.healthy_rows(split)


def validation_rows(method: Method, store: ArrayStore, config: TrainConfig) -> np.ndarray:
    """Return the rows that weights are chosen by, and that `Method.calibrate` gets.

    Parameters
    ----------
    method
        In training.
    store
        As `rows_of`.
    config
        Says how many at most, unless the method learns from labels.

    Returns
    -------
    ndarray
        ``(n,)`` int, evenly spread over those of ``"val"``.

    Raises
    ------
    InputError
        There is no healthy row.
    """
    rows, most = rows_of(method, store, "val"), 0 if method.labelled else config.validation_rows
    return rows[np.linspace(0, len(rows) - 1, most).round().astype(int)] if 0 < most < len(rows) else rows


def _stream(*place: int) -> int:
    """Seed of the stream of random numbers of a place (seed, stage, step, ...)."""
    return int(np.random.SeedSequence(place).generate_state(1, np.uint64)[0] >> np.uint64(1))
