"""Synthetic-lesion U-Net: learns to find lesions that were made up in healthy brains; no real lesion is ever shown.

Papers: Tan et al., "Detecting outliers with foreign patch interpolation", 2020 (https://arxiv.org/abs/2011.04197): a
network finds what was changed in a healthy image, and how much. Baugh et al., "Many tasks make light work: learning to
localise medical anomalies from multiple synthetic tasks", MICCAI 2023 (https://arxiv.org/abs/2307.00899): kinds of
made-up lesions are mixed, and the network is chosen by kinds that it was not trained on. Isensee et al., "nnU-Net",
Nature Methods 2021 (https://doi.org/10.1038/s41592-020-01008-z): the loss is Dice and cross-entropy.

Deviations: kinds, sizes and contrasts are those of `uad_data.corruptions.lesions`, a stated prior per sequence. A
second head, trained beside the first, gives back the image without the lesion. The map is a probability, averaged
over the image and its mirror.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional

from uad_data.corruptions.lesions.lesion_mix import LesionMix, mix_lesions
from uad_data.corruptions.lesions.sequences import SEQUENCES
from uad_data.errors import InputError
from uad_models.method import Method, MethodConfig, Preset, brain_of
from uad_models.methods.denoising_unet import FOLDED
from uad_models.networks.unet import GROUPS, UNet


@dataclass(frozen=True)
class SyntheticUNetConfig(MethodConfig):
    """Settings of `SyntheticUNet`.

    Parameters
    ----------
    in_channels, size
        See `MethodConfig`; every side a multiple of ``fold * 2 ** (len(channels) - 1)``.
    modalities
        The sequence of each channel: whose prior made-up lesions follow (`uad_data.corruptions.lesions.sequences`).
        Follows from the images where they are known; one name serves all channels.
    channels
        Width of each resolution, multiples of 8; one halving between neighbours.
    fold
        Side of the block of pixels that the network takes as channels of one.
    held_out
        Kinds of lesions that are kept from training; the weights are chosen by the loss on these, in healthy
        validation images.
    restoration
        Weight of the loss of the second head, at least 0.
    """

    modalities: tuple[str, ...] = ("flair",)
    channels: tuple[int, ...] = (32, 64, 128, 256)
    fold: int = 1
    held_out: tuple[str, ...] = ("intensity_shift",)
    restoration: float = 1.0

    @property
    def size_multiple(self) -> int:
        """Each stage after the first halves the image."""
        return self.fold * 2 ** (len(self.channels) - 1)

    def check(self) -> None:
        """Refuse widths that cannot be normalised in groups, and sequences without a prior."""
        if not self.channels or any(width < 1 or width % GROUPS for width in self.channels):
            raise InputError(f"channels: expected multiples of {GROUPS}, at least one, got {self.channels}")
        if self.fold < 1 or self.restoration < 0:
            raise InputError(
                f"fold and restoration: expected at least 1 and at least 0, got {self.fold} and {self.restoration}"
            )
        if len(self.modalities) not in (1, self.in_channels):
            raise InputError(f"modalities: expected one name, or {self.in_channels}, got {self.modalities}")
        unknown = [name for name in self.modalities if name not in SEQUENCES]
        if unknown:
            raise InputError(f"modalities: expected some of {', '.join(SEQUENCES)}, got {unknown[0]!r}")
        LesionMix().only(*self.held_out)
        LesionMix().without(*self.held_out)


class SyntheticUNet(Method):
    """U-Net that finds made-up lesions, whose looks are stated per sequence.

    Parameters
    ----------
    config
        See `SyntheticUNetConfig`.
    """

    name = "synthetic_unet"
    Config = SyntheticUNetConfig
    config: SyntheticUNetConfig
    any_size = True
    presets: ClassVar[dict[str, Preset]] = {
        "quick": Preset(
            config={"channels": (16, 32, 64, 128), "fold": 2},
            train={"steps": 1000, "batch_size": 16, "learning_rate": 2e-3, "ema_decay": 0.99},
        ),
        "full": Preset(
            config={"channels": (16, 32, 64, 128), "fold": 1},
            train={"steps": 6000, "batch_size": 16, "learning_rate": 2e-3, "ema_decay": 0.999, "validate_every": 500},
        ),
    }

    def __init__(self, config: SyntheticUNetConfig) -> None:
        super().__init__(config)
        dims = len(config.size)
        cell = config.fold**dims
        self.network = UNet(
            dims=dims,
            in_channels=config.in_channels * cell,
            out_channels=(1 + config.in_channels) * cell,
            channels=config.channels,
        )
        mix = LesionMix.of(*config.modalities)
        self._mixes = {True: mix.without(*config.held_out), False: mix.only(*config.held_out)}

    def loss(
        self,
        batch: dict[str, Tensor],
        *,
        stage: str = "fit",
        group: str = "all",
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """Return Dice and cross-entropy of the found lesion and the error of the restored image; see `Method.loss`.

        In ``eval()`` mode the lesions are of the kinds held out.
        """
        image, brain = batch["image"], batch["brain"]
        made = mix_lesions(image, brain, mix=self._mixes[self.training], generator=generator)
        logit, restored = self._both(made.image)
        target, inside = made.mask.float(), brain.float()
        crossed = functional.binary_cross_entropy_with_logits(logit.float(), target, reduction="none")
        cross_entropy = (crossed * inside).sum() / inside.sum().clamp(min=1)
        found = logit.float().sigmoid() * inside
        dice = 1 - (2 * (found * target).sum() + 1) / (found.sum() + target.sum() + 1)
        error = ((restored.float() - image.float()).abs() * inside).sum() / (inside.sum() * image.shape[1]).clamp(min=1)
        total = cross_entropy + dice + self.config.restoration * error
        return {"loss": total, "cross_entropy": cross_entropy, "dice": dice, "restoration": error}

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the image without what looks like a lesion; see `Method.reconstruct`."""
        return self._both(x)[1] * brain_of(x)

    def anomaly_map(self, x: Tensor) -> Tensor:
        """Return the probability of a lesion, averaged over the image and its mirror; see `Method.anomaly_map`."""
        logit, mirrored = self._both(x)[0], self._both(x.flip(-1))[0].flip(-1)
        return (logit.float().sigmoid() + mirrored.float().sigmoid()) / 2 * brain_of(x)

    def anomaly_score(self, x: Tensor) -> Tensor:
        """Return the volume of lesion to expect, in voxels; see `Method.anomaly_score`."""
        return self.anomaly_map(x).flatten(1).sum(dim=1)

    def _both(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Run the network: logits ``(b, 1, *s)`` and the restored image ``(b, c, *s)``."""
        blocks, block = FOLDED[x.ndim - 2]
        sides = dict.fromkeys(("p", "q", "r")[: x.ndim - 2], self.config.fold)
        folded = self.network(rearrange(x, f"{blocks} -> {block}", **sides))
        out = rearrange(folded, f"{block} -> {blocks}", **sides)
        return out[:, :1], x + out[:, 1:]
