"""Synthetic-lesion U-Net: learns to find lesions that were made up in healthy brains; no real lesion is ever shown.

Papers: Tan et al., "Detecting outliers with foreign patch interpolation", 2020 (https://arxiv.org/abs/2011.04197): a
network finds what was changed in a healthy image, and how much. Baugh et al., "Many tasks make light work: learning to
localise medical anomalies from multiple synthetic tasks", MICCAI 2023 (https://arxiv.org/abs/2307.00899): kinds of
made-up lesions are mixed, and the network is chosen by kinds that it was not trained on. Isensee et al., "nnU-Net",
Nature Methods 2021 (https://doi.org/10.1038/s41592-020-01008-z): loss, deep supervision, augmentation, mirroring at
test time. Platt, "Probabilistic outputs for support vector machines", 1999: the calibration.

Deviations: kinds, sizes and contrasts are those of `uad_data.corruptions.lesions`, a stated prior per sequence. A
second head, trained beside the first, gives back the image without the lesion.

2D takes slices and 3D takes volumes; with ``slab`` the network is 2D and sees each slice of a volume with its
neighbours as channels (2.5D).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional

from uad_data.corruptions.lesions.lesion_mix import mix_lesions
from uad_data.errors import InputError
from uad_models.lesion_config import LesionConfig
from uad_models.method import Method, Preset, brain_of, some_voxels
from uad_models.networks.residual_unet import GROUPS, ResidualUNet
from uad_models.platt import platt_scale

_FIRST_LOGIT = -3.0  # lesions are rare: a network that begins by knowing it learns faster (Lin et al. 2017, 4.1)
_SLICES = 32  # of a slab method, at a time: bounds the memory of a volume


@dataclass(frozen=True)
class SyntheticUNetConfig(LesionConfig):
    """Settings of `SyntheticUNet`.

    Parameters
    ----------
    in_channels, size
        See `MethodConfig`; every side a multiple of ``fold * 2 ** (len(channels) - 1)``, but for the depth of a
        volume that is seen in slabs.
    modalities, kinds, held_out
        See `LesionConfig`. The map is calibrated on the kinds held out.
    channels
        Width of each resolution, multiples of 8; one halving between neighbours.
    blocks
        Residual blocks of each resolution of the encoder.
    fold
        Side of the block of pixels that the network takes as channels of one.
    coarse
        Coarser outputs that are supervised too, fewer than ``channels``.
    slab
        0, or for volumes: how many neighbouring slices a 2D network sees at once, odd and at least 3.
    label
        What is learned: ``"hard"``, which voxels are lesion (Dice and cross-entropy), or ``"soft"``, how much each was
        changed (cross-entropy).
    restoration
        Weight of the loss of the second head, at least 0.
    mirror
        Axes of space, counted from the last (-1), along which images are mirrored at test time; the mean is the map.
    """

    channels: tuple[int, ...] = (32, 64, 128, 256)
    blocks: int = 1
    fold: int = 1
    coarse: int = 2
    slab: int = 0
    label: Literal["hard", "soft"] = "hard"
    restoration: float = 1.0
    mirror: tuple[int, ...] = (-1,)

    @property
    def size_multiple(self) -> int:
        """Each stage after the first halves the image."""
        return self.fold * 2 ** (len(self.channels) - 1)

    @property
    def size_multiples(self) -> tuple[int, ...]:
        """The depth of slabs is not halved."""
        first = 1 if self.slab else self.size_multiple
        return (first, *super().size_multiples[1:])

    def check(self) -> None:
        """Refuse widths that cannot be normalised in groups, slabs of slices, and what `LesionConfig` refuses."""
        if not self.channels or any(width < 1 or width % GROUPS for width in self.channels):
            raise InputError(f"channels: expected multiples of {GROUPS}, at least one, got {self.channels}")
        if not 0 <= self.coarse < len(self.channels):
            raise InputError(f"coarse: expected 0 to {len(self.channels) - 1}, got {self.coarse}")
        if min(self.blocks, self.fold) < 1 or self.restoration < 0:
            raise InputError(
                "blocks, fold and restoration: expected at least 1, 1 and 0, "
                f"got {self.blocks}, {self.fold} and {self.restoration}"
            )
        if self.slab and (len(self.size) != 3 or self.slab < 3 or self.slab % 2 == 0 or self.slab > self.size[0]):
            raise InputError(
                f"slab: expected 0, or for volumes an odd number from 3 to their depth, got {self.slab} for {self.size}"
            )
        if any(not -len(self.size) <= axis <= -1 for axis in self.mirror) or len(set(self.mirror)) < len(self.mirror):
            raise InputError(f"mirror: expected each axis once, from -{len(self.size)} to -1, got {self.mirror}")
        super().check()


class SyntheticUNet(Method):
    """U-Net that finds made-up lesions, whose looks are stated per sequence.

    Parameters
    ----------
    config
        See `SyntheticUNetConfig`.
    """

    name = "synthetic_unet"
    shared = (*Method.shared, "_outputs")
    Config = SyntheticUNetConfig
    config: SyntheticUNetConfig
    any_size = True
    finds_lesions = True
    slope: Tensor
    offset: Tensor
    presets: ClassVar[dict[str, Preset]] = {
        "quick": Preset(
            config={"channels": (16, 32, 64, 128), "fold": 2},
            train={
                "steps": 1000,
                "batch_size": 16,
                "learning_rate": 2e-3,
                "ema_decay": 0.99,
                "augmentation": "nnunet",
            },
        ),
        "full": Preset(
            config={"channels": (24, 48, 96, 128), "fold": 2},
            train={
                "steps": 4000,
                "batch_size": 16,
                "learning_rate": 2e-3,
                "ema_decay": 0.998,
                "validate_every": 250,
                "augmentation": "nnunet",
            },
        ),
    }

    def __init__(self, config: SyntheticUNetConfig) -> None:
        super().__init__(config)
        self.network = ResidualUNet(
            dims=2 if config.slab else len(config.size),
            in_channels=config.in_channels * max(config.slab, 1),
            out_channels=1 + config.in_channels,
            channels=config.channels,
            blocks=config.blocks,
            fold=config.fold,
            coarse=config.coarse,
        )
        self.network.begin_with(_FIRST_LOGIT)
        self._mixes = {True: config.trained_mix(), False: config.held_out_mix()}
        # Of the calibration: a logit z means the probability sigmoid(slope * z + offset).
        self.register_buffer("slope", torch.ones(()))
        self.register_buffer("offset", torch.zeros(()))

    def loss(
        self,
        batch: dict[str, Tensor],
        *,
        stage: str = "fit",
        group: str = "all",
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """Return the loss of the found lesion and the error of the restored image; see `Method.loss`.

        Dice is over the voxels of the batch together, cross-entropy the mean over the brain; each is the mean over
        resolutions, every next one counting half as much. In ``eval()`` mode the lesions are of the kinds held out.
        """
        image, brain = self._seen(batch["image"], batch["brain"], generator)
        made = mix_lesions(image, brain, mix=self._mixes[self.training], generator=generator)
        outputs = self.network(self._stacked(made.image))
        hard = self.config.label == "hard"
        lesion = self._middle(made.mask.float() if hard else made.soft)
        shown, image, inside = (self._middle(each.float()) for each in (made.image, image, brain))
        losses: dict[str, Tensor] = {}
        for depth, output in enumerate(outputs):
            part = _found(output[:, :1].float(), *_shrunk(lesion, inside, output.shape[2:]), dice=hard)
            share = 0.5**depth / (2 - 0.5 ** (len(outputs) - 1))
            losses = {name: losses.get(name, 0.0) + share * value for name, value in part.items()}
        error = (shown + outputs[0][:, 1:].float() - image).abs() * inside
        losses["restoration"] = error.sum() / (inside.sum() * image.shape[1]).clamp(min=1)
        found = sum(value for name, value in losses.items() if name != "restoration")
        return {"loss": found + self.config.restoration * losses["restoration"], **losses}

    def calibrate(self, batches: Callable[[], Iterable[dict[str, Tensor]]], *, generator: torch.Generator) -> None:
        """Fit the map's probabilities to lesions of the kinds held out, made up in healthy validation images.

        Two numbers are fitted by cross-entropy (Platt scaling), which keeps the order of the voxels.
        """
        logits, lesions = [], []
        self.slope.fill_(1.0)
        self.offset.fill_(0.0)
        for batch in batches():
            made = mix_lesions(batch["image"], batch["brain"], mix=self._mixes[False], generator=generator)
            inside = some_voxels(batch["brain"], generator)
            logits.append(self._logit(made.image)[inside].float())
            lesions.append(made.mask[inside])
        if logits:
            slope, offset = platt_scale(torch.cat(logits), torch.cat(lesions))
            self.slope.fill_(slope)
            self.offset.fill_(offset)

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the image without what looks like a lesion; see `Method.reconstruct`."""
        return (x + self._outputs(x)[:, 1:]) * brain_of(x)

    def anomaly_map(self, x: Tensor) -> Tensor:
        """Return the probability of a lesion, calibrated on the kinds held out; see `Method.anomaly_map`."""
        return (self._logit(x) * self.slope + self.offset).sigmoid() * brain_of(x)

    def anomaly_score(self, x: Tensor) -> Tensor:
        """Return the volume of lesion to expect, in voxels; see `Method.anomaly_score`."""
        return self.anomaly_map(x).flatten(1).sum(dim=1)

    def _logit(self, x: Tensor) -> Tensor:
        """Logit of a lesion, averaged over the image and its mirror images: ``(b, 1, *s)`` float32."""
        axes = self.config.mirror
        flips = list(chain.from_iterable(combinations(axes, count) for count in range(len(axes) + 1)))
        logits = [self._outputs(x.flip(flip) if flip else x)[:, :1].float().flip(flip) for flip in flips]
        return torch.stack(logits).mean(dim=0)

    def _outputs(self, x: Tensor) -> Tensor:
        """Run the network on whole images: logit and change, ``(b, 1 + c, *s)``."""
        if not self.config.slab:
            return self.network(x)[0]
        reach = self.config.slab // 2
        padded = functional.pad(x, (0, 0, 0, 0, reach, reach), mode="replicate")
        slabs = padded.unfold(2, self.config.slab, 1).movedim((2, 5), (1, 3))
        stacked = self._stacked(slabs.flatten(0, 1))
        found = torch.cat([self.network(part)[0] for part in stacked.split(_SLICES)])
        return found.unflatten(0, (len(x), x.shape[2])).movedim(1, 2)

    def _seen(self, image: Tensor, brain: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """Return what a training step looks at: all of it, or of each volume a slab around a slice with brain."""
        slab = self.config.slab
        if not slab:
            return image, brain
        last = image.shape[2] - slab
        weights = brain.flatten(3).any(dim=3)[:, 0, slab // 2 : slab // 2 + last + 1].float()
        start = torch.multinomial(weights + 1e-6, 1, generator=generator)
        place = start + torch.arange(slab, device=image.device)
        rows = torch.arange(len(image), device=image.device)[:, None]
        return image[rows, :, place].movedim(1, 2), brain[rows, :, place].movedim(1, 2)

    def _stacked(self, x: Tensor) -> Tensor:
        """Slices of a slab as channels: ``(b, c, slab, h, w)`` to ``(b, c * slab, h, w)``."""
        return x.flatten(1, 2) if self.config.slab else x

    def _middle(self, x: Tensor) -> Tensor:
        """Return the slice of a slab that the network is asked about."""
        return x[:, :, self.config.slab // 2] if self.config.slab else x


def _shrunk(lesion: Tensor, inside: Tensor, size: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Share of lesion and of brain in each voxel of a coarser grid."""
    if lesion.shape[2:] == size:
        return lesion, inside
    both = torch.cat((lesion, inside), dim=1)
    lesion, inside = functional.interpolate(both, size=list(size), mode="area").chunk(2, dim=1)
    return lesion, inside


def _found(logit: Tensor, lesion: Tensor, inside: Tensor, *, dice: bool) -> dict[str, Tensor]:
    """Cross-entropy, a mean over the brain, and where asked Dice over all voxels of the batch."""
    crossed = functional.binary_cross_entropy_with_logits(logit, lesion, reduction="none")
    parts = {"cross_entropy": (crossed * inside).sum() / inside.sum().clamp(min=1)}
    if dice:
        found = logit.sigmoid() * inside
        parts["dice"] = 1 - (2 * (found * lesion).sum() + 1) / (found.sum() + lesion.sum() + 1)
    return parts
