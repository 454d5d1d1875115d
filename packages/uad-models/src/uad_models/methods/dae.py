"""DAE: a denoising autoencoder, which rebuilds healthy brains from images that shapes were painted over.

Paper: Gubaidullin, "Unsupervised anomaly segmentation in brain MR images using context variational autoencoder"
(University of Bonn, BraTS 2019): section 5.1, the shapes; Table 1, the network of preset ``paper``; Table 3, "DAE".

The table: seven convolutions of kernel 3 and widths 64-64-128-128-256-256-512, max-pooling after the second, fourth,
sixth and seventh, each convolution followed by batch normalisation and leaky ReLU; the decoder is the encoder
transposed, "using fractionally strided convolutional layers". Its code is the last layer's 512 features on a grid of
1/16 of the image's side.

Deviations and choices
----------------------
- Where the encoder pools, the transposed convolution that mirrors the layer before the pooling has stride 2. Padding
  and biases: see `uad_models.networks.encoder_decoder`.
- The shapes' sides are shares of the image's longest side, 15 and 40 of the paper's 240 pixels. ``"context_mask"``
  masks patches out instead, the context encoder of the paper's section 4.2.
- The paper gives the squared error for its other models (section 5.2): the same here. Optimiser and length of training
  are not given: common values.
- The paper normalises each reconstruction by minimum and maximum to match the image, then fits a Gaussian mixture to
  the residual: these are not part of the method here; for the mixture see ``uad_postproc``.
- Preset ``quick`` is the small network of `uad_models.methods.ae` with its predicted scale and its short code.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from uad_data.corruptions import context_mask, random_shapes
from uad_models.method import Preset
from uad_models.methods.ae import AE, AEConfig

SHAPE_SIDES = (15 / 240, 40 / 240)  # of the image's longest side

Corruption = Literal["random_shapes", "context_mask"]


@dataclass(frozen=True)
class DAEConfig(AEConfig):
    """Settings of `DAE`.

    Parameters
    ----------
    in_channels, size, channels, kernels, strides, dilations, pools, latent, latent_dim, code_kernel, code_stride
        See `AEConfig`.
    reconstruction_loss, predict_scale, residual, dropout, mc_samples
        See `AEConfig`.
    corruption
        What is done to healthy images: ``"random_shapes"`` (squares and circles of random intensity) or
        ``"context_mask"`` (patches set to 0).
    """

    corruption: Corruption = "random_shapes"


class DAE(AE):
    """Autoencoder that restores healthy images.

    Parameters
    ----------
    config
        See `DAEConfig`.
    """

    name = "dae"
    Config = DAEConfig
    config: DAEConfig
    presets: ClassVar[dict[str, Preset]] = {
        "quick": Preset(
            config={"channels": (16, 32, 64), "latent_dim": 8},
            train={"steps": 500, "batch_size": 16, "learning_rate": 2e-3},
        ),
        "paper": Preset(
            config={
                "channels": (64, 64, 128, 128, 256, 256, 512),
                "kernels": (3,),
                "strides": (1,),
                "pools": (1, 2, 1, 2, 1, 2, 2),
                "latent": "features",
                "predict_scale": False,
            },
            train={"steps": 30000, "batch_size": 16, "learning_rate": 1e-3, "validate_every": 500},
        ),
    }

    def loss(
        self,
        batch: dict[str, Tensor],
        *,
        stage: str = "fit",
        group: str = "all",
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """Return the loss of `AE` between the healthy image and what is rebuilt from the corrupted one."""
        image, brain = batch["image"], batch["brain"]
        corrupted = corrupt(image, brain, self.config.corruption, generator=generator)
        return self.restoration_loss(corrupted, image, brain, generator=generator)


def corrupt(image: Tensor, brain: Tensor, kind: Corruption, *, generator: torch.Generator | None) -> Tensor:
    """Return images with shapes painted over them or patches masked out, inside the brain.

    Parameters
    ----------
    image
        ``(b, c, *s)``.
    brain
        ``(b, 1, *s)`` bool.
    kind
        See `DAEConfig`.
    generator
        Source of the shapes.

    Returns
    -------
    Tensor
        ``(b, c, *s)``.
    """
    if kind == "context_mask":
        return context_mask(image, brain, generator=generator).image
    smallest, largest = (max(1, round(share * max(image.shape[2:]))) for share in SHAPE_SIDES)
    return random_shapes(image, brain, sides=(smallest, largest), generator=generator).image
