"""DISYRE: a network restores made-up lesions of a severity that it is told; what it changes in a new scan is anomalous.

Papers: Naval Marimont, Baugh, Siomos, Tzelepis, Kainz, Tarroni, "DISYRE: diffusion-inspired synthetic restoration for
unsupervised anomaly detection", ISBI 2024 (https://arxiv.org/abs/2311.15453), and Naval Marimont et al., "Ensembled
cold-diffusion restorations for unsupervised anomaly detection", 2024 (https://arxiv.org/abs/2407.06635).

As in diffusion there are T = 100 steps of corruption, but ``x_t = (1 − α_t) x_0 + α_t x_T`` fades from the healthy
image ``x_0`` to one with a lesion, ``x_T``. In training the share α is drawn uniformly, the network is told the step
whose α_t is nearest, and the loss is the squared error of the restored image. In use the image is taken for ``x_T`` and
restored five times, the network being told t = T, 4T/5, ... T/5; the map is the mean of ``|x_t − x̂_0|``. In between,
the first paper goes down the steps by cold diffusion, ``x_t' = x̂_0 + (α_t' / α_t) (x_t − x̂_0)``
(``restoration="stepwise"``); the second restores the image itself every time (``"ensemble"``).

Deviations
----------
- Schedule, optimiser, widths and number of steps are those of the authors' code, https://github.com/snavalm/disyre
  (``β`` from 0.001 to 0.2, ``α`` the root of the product of ``1 − β``); the papers' text was not at hand. Step 0, no
  lesion, is ours, and what images without one are told.
- The lesions are the project's own: preset ``paper`` is trained on ``foreign_interpolation``, the first paper's kind,
  alone, ``quick`` on all. A kind's own opacity is part of ``x_T``.
- ``predicts="change"``, as in ``quick``: the network gives what to add to the image, at first next to nothing; the
  authors' gives the restored image. After short training, what the second has not learned to copy hides every lesion.
- No windows: the network takes whole images where the authors average overlapping windows of 128x128; it can be trained
  on patches (``TrainConfig.patch``). No attention layers; the layers are those of `ConditionedUNet`.
- Means are over brain voxels, and nothing is clipped to [0, 1].
- The score is the mean of the map over the brain; the authors compare mean, maximum, and mean of the highest 100.
"""

import itertools
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from uad_data.corruptions.draws import uniform
from uad_data.corruptions.lesions.lesion_mix import mix_lesions
from uad_data.errors import InputError
from uad_models.lesion_config import LesionConfig
from uad_models.method import Method, Preset, brain_of
from uad_models.methods.ae import brain_mean
from uad_models.networks.conditioned_unet import ConditionedUNet
from uad_models.networks.folding import folded, unfolded
from uad_models.networks.unet import GROUPS
from uad_models.scores import Residual, check_residual, residual_map

#: T, and the ends of β in the authors' code.
STEPS = 100
BETAS = (1e-3, 2e-1)


@dataclass(frozen=True)
class DISYREConfig(LesionConfig):
    """Settings of `DISYRE`.

    Parameters
    ----------
    in_channels, size, modalities, kinds, held_out
        See `LesionConfig`; every side a multiple of ``fold * 2 ** (len(channels) - 1)``.
    channels
        Width of each resolution, multiples of 8; one halving between neighbours.
    fold
        Side of the block of pixels that the network takes as channels of one.
    predicts
        What the network gives: the restored ``"image"``, or the ``"change"`` that makes it of the image it gets.
    restoration
        ``"stepwise"``: each restoration starts where the one before led to; ``"ensemble"``: each from the image.
    restorations
        How many, 1 to 100.
    residual
        How difference becomes map: see `residual_map`.
    perceptual_network
        File with the weights of a network, for ``residual="lpips"``; see `uad_models.networks.vgg_features`.
    """

    channels: tuple[int, ...] = (32, 64, 96, 128, 256, 256)
    fold: int = 1
    predicts: Literal["image", "change"] = "image"
    restoration: Literal["stepwise", "ensemble"] = "stepwise"
    restorations: int = 5
    residual: Residual = "l1"
    perceptual_network: str = ""

    @property
    def size_multiple(self) -> int:
        """Each stage after the first halves the image."""
        return self.fold * 2 ** (len(self.channels) - 1)

    def check(self) -> None:
        """Refuse widths that cannot be normalised in groups, and more restorations than steps."""
        super().check()
        if not self.channels or any(width < 1 or width % GROUPS for width in self.channels):
            raise InputError(f"channels: expected multiples of {GROUPS}, at least one, got {self.channels}")
        if self.fold < 1:
            raise InputError(f"fold: expected at least 1, got {self.fold}")
        if not 1 <= self.restorations <= STEPS:
            raise InputError(f"restorations: expected 1 to {STEPS}, got {self.restorations}")
        check_residual(self.residual, scaled=False, network=self.perceptual_network)


class DISYRE(Method):
    """Restoration of made-up lesions of several severities.

    Parameters
    ----------
    config
        See `DISYREConfig`.
    """

    name = "disyre"
    shared = (*Method.shared, "_restorations")
    Config = DISYREConfig
    config: DISYREConfig
    any_size = True
    presets: ClassVar[dict[str, Preset]] = {
        "quick": Preset(
            config={"channels": (16, 32, 64), "fold": 2, "predicts": "change", "restorations": 3},
            train={"steps": 500, "batch_size": 16, "learning_rate": 2e-3, "ema_decay": 0.99},
        ),
        "paper": Preset(
            config={"kinds": ("foreign_interpolation",)},
            train={
                "steps": 100000,
                "batch_size": 96,
                "learning_rate": 1e-4,
                "weight_decay": 1e-6,
                "warmup_steps": 500,
                "validate_every": 1000,
            },
        ),
    }

    def __init__(self, config: DISYREConfig) -> None:
        super().__init__(config)
        dims = len(config.size)
        self.network = ConditionedUNet(
            dims=dims,
            in_channels=config.in_channels * config.fold**dims,
            out_channels=config.in_channels * config.fold**dims,
            channels=config.channels,
        )
        if config.predicts == "change":
            for parameter in self.network.last.parameters():
                nn.init.normal_(parameter, std=1e-3)
        self._mixes = {True: config.trained_mix(), False: config.held_out_mix()}

    def loss(
        self,
        batch: dict[str, Tensor],
        *,
        stage: str = "fit",
        group: str = "all",
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """Return the mean squared error of the restored image over brain voxels and channels; see `Method.loss`.

        In ``eval()`` mode the lesions are of the kinds held out.
        """
        image, brain = batch["image"].float(), batch["brain"]
        made = mix_lesions(image, brain, mix=self._mixes[self.training], generator=generator)
        share = uniform(0, 1, (len(image),), generator, image.device)
        share = torch.where(made.soft.flatten(1).any(dim=1), share, 0)
        faded = image + share.view(-1, *(1 for _ in image.shape[1:])) * (made.image - image)
        restored = self._restore(faded, nearest_step(share))
        return {"loss": brain_mean((restored.float() - image).square(), brain)}

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the image restored last (stepwise), or the mean of the restored (ensemble); see `Method.reconstruct`.

        The last step down leads to step 0, which is what was restored there.
        """
        restored = [each for _, each in self._restorations(x)]
        return restored[-1] if self.config.restoration == "stepwise" else torch.stack(restored).mean(dim=0)

    def anomaly_map(self, x: Tensor) -> Tensor:
        """Return the mean residual of the restorations; see `Method.anomaly_map`."""
        residual, network = self.config.residual, self.config.perceptual_network
        maps = [residual_map(*pair, residual, network=network) for pair in self._restorations(x)]
        return torch.stack(maps).mean(dim=0)

    def anomaly_score(self, x: Tensor) -> Tensor:
        """Return the mean of the map over the brain; see `Method.anomaly_score`."""
        return self.anomaly_map(x).flatten(1).sum(dim=1) / brain_of(x).flatten(1).sum(dim=1).clamp(min=1)

    def _restorations(self, x: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return each image that is restored, and its restoration, from the most severe step down."""
        brain, n, share = brain_of(x), self.config.restorations, shares(x.device)
        steps, pairs = [round(STEPS * left / n) for left in range(n, -1, -1)], []
        for step, below in itertools.pairwise(steps):
            restored = self._restore(x, torch.full((len(x),), step, device=x.device)) * brain
            pairs.append((x, restored))
            if self.config.restoration == "stepwise":
                x = restored + share[below] / share[step] * (x - restored)
        return pairs

    def _restore(self, x: Tensor, step: Tensor) -> Tensor:
        """Run the network on folded images."""
        given = unfolded(self.network(folded(x, self.config.fold), step), self.config.fold)
        return x + given if self.config.predicts == "change" else given


def shares(device: torch.device | str = "cpu") -> Tensor:
    """Return the share α of the lesion at each step.

    Parameters
    ----------
    device
        Where it is wanted.

    Returns
    -------
    Tensor
        ``(T + 1,)`` float32, rising from exactly 0 (no lesion) to almost 1.
    """
    kept = (1 - torch.linspace(*BETAS, STEPS, dtype=torch.float64)).cumprod(0).sqrt()
    return torch.cat([torch.zeros(1, dtype=torch.float64), kept.flip(0)]).float().to(device)


def nearest_step(share: Tensor) -> Tensor:
    """Return the step whose share is nearest.

    Parameters
    ----------
    share
        ``(b,)``, 0 to 1.

    Returns
    -------
    Tensor
        ``(b,)`` int64, 0 to T.
    """
    return (shares(share.device) - share[:, None]).abs().argmin(dim=1)
