"""DRAEM: one network restores images with made-up lesions, a second one finds the lesions from both images.

Paper: Zavrtanik, Kristan, Skočaj, "DRAEM: a discriminatively trained reconstruction embedding for surface anomaly
detection", ICCV 2021 (https://arxiv.org/abs/2108.07610). Section 3.1: an encoder and decoder without skip connections
restores the image; its loss is ``ℓ2 + λ · mean(1 − SSIM)`` (equations 1 and 2), SSIM in windows of 11. Section 3.2: a
U-Net finds the lesion from the image beside its restoration; its loss is the focal loss, as it stands in Lin et al.,
"Focal loss for dense object detection", ICCV 2017 (https://arxiv.org/abs/1708.02002), equation 4, with γ = 2. Both
are trained together by the sum (equation 4). Section 3.4: the map is the second network's probability, and the score
of an image the largest value of the map after a mean filter (equation 5), 21 pixels wide in the authors' code.

Deviations
----------
- Before training the probability of a lesion is 0.01 everywhere, as Lin et al. advise (section 4.1): faster to learn.
- The lesions are the project's own. The paper's texture is the kind ``draem_texture``, without photographs; preset
  ``paper`` is trained on it alone, ``quick`` on all kinds.
- All means are taken over brain voxels, the paper's over all pixels.
- Layers are those of `EncoderDecoder` (with a spatial code) and `UNet`: halving by strided convolutions and average
  pooling, and Swish with group normalisation in the second network. The authors: two 3-wide convolutions per
  resolution with batch normalisation and ReLU, max-pooling. Widths in ``paper`` are the authors'.
- AdamW with a cosine schedule; the authors: Adam, its rate cut to a tenth twice. 21,000 steps of 8 images are the
  paper's 700 epochs of about 240 images. Images are not rotated.
- ``fold`` in ``quick``: the second network takes blocks of 2x2 pixels as channels of one.
- The paper's text was not at hand: equation numbers, widths and epochs are from memory and should be checked.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from uad_data.corruptions.lesions.lesion_mix import mix_lesions
from uad_data.errors import InputError
from uad_models.lesion_config import LesionConfig
from uad_models.method import Method, Preset, brain_of
from uad_models.methods.ae import brain_mean
from uad_models.networks.encoder_decoder import EncoderDecoder
from uad_models.networks.folding import folded, unfolded
from uad_models.networks.unet import GROUPS, UNet
from uad_models.ssim import ssim_map

PRIOR = 0.01  # probability of a lesion before training
_MEAN_FILTER = {2: functional.avg_pool2d, 3: functional.avg_pool3d}


@dataclass(frozen=True)
class DRAEMConfig(LesionConfig):
    """Settings of `DRAEM`.

    Parameters
    ----------
    in_channels, size, modalities, kinds, held_out
        See `LesionConfig`; every side a multiple of ``2 ** len(reconstructive)`` and of
        ``fold * 2 ** (len(discriminative) - 1)``.
    reconstructive
        Width of the first network after each halving of the image.
    latent_dim
        Channels of its code.
    discriminative
        Width of each resolution of the second network, multiples of 8; one halving between neighbours.
    fold
        Side of the block of pixels that the second network takes as channels of one.
    ssim_weight
        λ of equation 2, at least 0.
    focal_gamma
        γ of the focal loss, at least 0; 0 is plain cross-entropy.
    smoothing
        Width of the mean filter before the score is taken, in voxels, odd.
    """

    reconstructive: tuple[int, ...] = (128, 256, 512, 1024)
    latent_dim: int = 1024
    discriminative: tuple[int, ...] = (64, 128, 256, 512, 512, 512)
    fold: int = 1
    ssim_weight: float = 1.0
    focal_gamma: float = 2.0
    smoothing: int = 21

    @property
    def size_multiple(self) -> int:
        """Both networks halve the image, and all are powers of 2."""
        second = self.fold * 2 ** (len(self.discriminative) - 1)
        return max(second, 2 ** len(self.reconstructive))

    def check(self) -> None:
        """Refuse networks that cannot be built, weights below 0, and a filter without a centre."""
        super().check()
        if not self.reconstructive or min(*self.reconstructive, self.latent_dim) < 1:
            raise InputError(
                f"reconstructive and latent_dim: expected at least one width, all positive, got {self.reconstructive} "
                f"and {self.latent_dim}"
            )
        if not self.discriminative or any(width < 1 or width % GROUPS for width in self.discriminative):
            raise InputError(f"discriminative: expected multiples of {GROUPS}, at least one, got {self.discriminative}")
        if self.fold < 1 or self.fold & (self.fold - 1):
            raise InputError(f"fold: expected 1, 2, 4 or another power of 2, got {self.fold}")
        if self.ssim_weight < 0 or self.focal_gamma < 0:
            raise InputError(
                f"ssim_weight and focal_gamma: expected at least 0, got {self.ssim_weight} and {self.focal_gamma}"
            )
        if self.smoothing < 1 or self.smoothing % 2 == 0:
            raise InputError(f"smoothing: expected an odd number from 1 up, got {self.smoothing}")


class DRAEM(Method):
    """Restoration and discrimination of made-up lesions, trained together.

    Parameters
    ----------
    config
        See `DRAEMConfig`.
    """

    name = "draem"
    Config = DRAEMConfig
    config: DRAEMConfig
    any_size = True
    presets: ClassVar[dict[str, Preset]] = {
        "quick": Preset(
            config={
                "reconstructive": (16, 32, 64),
                "latent_dim": 32,
                "discriminative": (16, 32, 64),
                "fold": 2,
                "smoothing": 5,
            },
            train={"steps": 300, "batch_size": 16, "learning_rate": 2e-3, "ema_decay": 0.99},
        ),
        "paper": Preset(
            config={"kinds": ("draem_texture",)},
            train={"steps": 21000, "batch_size": 8, "learning_rate": 1e-4, "validate_every": 500},
        ),
    }

    def __init__(self, config: DRAEMConfig) -> None:
        super().__init__(config)
        dims = len(config.size)
        self.restorer = EncoderDecoder(
            in_channels=config.in_channels,
            size=config.size,
            channels=config.reconstructive,
            latent="spatial",
            latent_dim=config.latent_dim,
        )
        self.discriminator = UNet(
            dims=dims,
            in_channels=2 * config.in_channels * config.fold**dims,
            out_channels=config.fold**dims,
            channels=config.discriminative,
        )
        torch.nn.init.constant_(self.discriminator.last.get_parameter("bias"), math.log(PRIOR / (1 - PRIOR)))
        self._mixes = {True: config.trained_mix(), False: config.held_out_mix()}

    def loss(
        self,
        batch: dict[str, Tensor],
        *,
        stage: str = "fit",
        group: str = "all",
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """Return ``ℓ2 + λ SSIM + focal`` (equation 4), means over brain voxels, and its parts; see `Method.loss`.

        In ``eval()`` mode the lesions are of the kinds held out.
        """
        image, brain = batch["image"].float(), batch["brain"]
        made = mix_lesions(image, brain, mix=self._mixes[self.training], generator=generator)
        restored = self._restore(made.image, brain).float()
        logit = self._discriminate(made.image, restored)
        squared = brain_mean((restored - image).square(), brain)
        unlike = brain_mean(1 - ssim_map(restored, image), brain)
        focal = brain_mean(focal_loss(logit.float(), made.mask, self.config.focal_gamma), brain)
        total = squared + self.config.ssim_weight * unlike + focal
        return {"loss": total, "l2": squared.detach(), "ssim": unlike.detach(), "focal": focal.detach()}

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the first network's image; see `Method.reconstruct`."""
        return self._restore(x, brain_of(x))

    def anomaly_map(self, x: Tensor) -> Tensor:
        """Return the second network's probability of a lesion; see `Method.anomaly_map`."""
        return self._discriminate(x, self.reconstruct(x)).float().sigmoid() * brain_of(x)

    def anomaly_score(self, x: Tensor) -> Tensor:
        """Return the largest value of the smoothed map (equation 5), from 0 to 1; see `Method.anomaly_score`."""
        width = self.config.smoothing
        smooth = _MEAN_FILTER[x.ndim - 2](self.anomaly_map(x), width, stride=1, padding=width // 2)
        return smooth.flatten(1).amax(dim=1)

    def _restore(self, x: Tensor, brain: Tensor) -> Tensor:
        """Run the first network."""
        return self.restorer.decode(*self.restorer.encode(x)) * brain

    def _discriminate(self, x: Tensor, restored: Tensor) -> Tensor:
        """Run the second network on an image and its restoration: logits ``(b, 1, *s)``."""
        both = torch.cat([x, restored], dim=1)
        return unfolded(self.discriminator(folded(both, self.config.fold)), self.config.fold)


def focal_loss(logit: Tensor, target: Tensor, gamma: float) -> Tensor:
    """Return ``−(1 − p)^γ log p``, where ``p`` is the probability given to the right answer (Lin et al., equation 4).

    Parameters
    ----------
    logit
        Of the probability of a lesion, any shape.
    target
        Where there is one, bool, of the same shape.
    gamma
        At least 0; the larger, the less voxels count that are already right.

    Returns
    -------
    Tensor
        Voxel by voxel, at least 0.
    """
    cross_entropy = functional.binary_cross_entropy_with_logits(logit, target.to(logit.dtype), reduction="none")
    return (1 - torch.exp(-cross_entropy)).pow(gamma) * cross_entropy
