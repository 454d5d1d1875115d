"""AE: an autoencoder of healthy brains; what it cannot rebuild is anomalous.

Papers
------
Baur, Denner, Wiestler, Navab, Albarqouni, "Autoencoders for unsupervised anomaly segmentation in brain MR images: a
comparative study", Medical Image Analysis 2021 (https://arxiv.org/abs/2004.03271): the dense autoencoder and its
residual. The network is Lambert's: see `uad_models.networks.encoder_decoder`.

Mao, Xue, Wang, Zhang, Zheng, Liu, "Abnormality detection in chest X-ray images using uncertainty prediction
autoencoders", MICCAI 2020 (https://doi.org/10.1007/978-3-030-59725-2_51): ``predict_scale``. A second output is the
size of the error to expect at each voxel, learned by likelihood along with the image. It is large at folds, rims and
ventricles, where a healthy brain is hard to rebuild, and the residual is divided by it.

Pawlowski et al., "Unsupervised lesion detection in brain CT using Bayesian convolutional autoencoders", MIDL 2018
(https://openreview.net/forum?id=S1hpzoisz), after Gal and Ghahramani 2016: ``mc_samples``, Monte-Carlo dropout.

Bergmann et al., "Improving unsupervised defect segmentation by applying structural similarity to autoencoders",
VISIGRAPP 2019 (https://arxiv.org/abs/1807.02011): ``reconstruction_loss="ssim"``.

Losses
------
All are means over brain voxels and channels. ``"l1"`` is ``|x − x̂|``, ``"l2"`` is ``(x − x̂)²``, ``"ssim"`` is
``1 − SSIM`` with the reconstruction cut to the brain first. With ``predict_scale`` they become negative log likelihoods
with a predicted scale: of a Laplace distribution (ℓ1) or a normal one (ℓ2). The Gaussian negative log likelihood is
therefore ``reconstruction_loss="l2"`` with ``predict_scale``; without it, it differs from ``"l2"`` by constants alone.

Deviations and choices
----------------------
- ``predict_scale`` is on unless a preset turns it off: the plain residual is dominated by the cortex's edges.
- The code is short (8 numbers): a long one carries the lesion too, into the image and into the expected error.
- The map is ``|x − x̂| / σ``, not Mao's ``(x − x̂)² / σ²``; both rank the voxels of one sequence alike.
- Monte-Carlo dropout drops whole feature maps (see `uad_models.networks.feature_dropout`), and the masks are the same
  for every image and every call, so that a map depends on its image alone. Maps are averaged, not reconstructions.
- Preset ``paper`` is the plain autoencoder of S. Kuznetsov's poster "Self-supervised lesion segmentation" (University
  of Sussex) with the size of its best model, 32. The poster names neither widths, loss norm, optimiser nor length of
  training; those here are Lambert's norm (ℓ1) and common values.
"""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn.functional import softplus

from uad_data.errors import InputError
from uad_models.method import Method, MethodConfig, Preset, brain_of
from uad_models.networks.encoder_decoder import EncoderDecoder, Latent, Layer, layers_of
from uad_models.networks.feature_dropout import FeatureDropout
from uad_models.scores import Residual, check_residual, residual_map
from uad_models.ssim import ssim_map

SMALLEST_SCALE = 0.02  # of the 99th percentile, below a scan's noise: keeps the likelihood of a flat region finite
SAMPLES_SEED = 0  # of the masks of Monte-Carlo dropout

ReconstructionLoss = Literal["l1", "l2", "ssim"]


@dataclass(frozen=True)
class AEConfig(MethodConfig):
    """Settings of `AE`.

    Parameters
    ----------
    in_channels, size
        See `MethodConfig`; every side a multiple of the product of all even strides and poolings.
    channels
        Width of each layer of the encoder; unless told otherwise, each halves the image.
    kernels, strides, dilations, pools
        One number for all layers or one for each, see `layers_of`.
    latent
        ``"dense"`` (a vector), ``"spatial"`` (a small grid) or ``"features"`` (what the last layer gives).
    latent_dim
        Length of the vector, or channels of the grid.
    code_kernel, code_stride
        Of the layers on both sides of a spatial code.
    reconstruction_loss
        ``"l1"`` (errors follow a Laplace distribution), ``"l2"`` (a normal one) or ``"ssim"``; see this file's head.
    predict_scale
        Predict the error to expect at each voxel as well, and divide the residual by it. Not with ``"ssim"``.
    residual
        How difference becomes map: ``"l1"``, ``"l2"``, ``"signed"`` (only brighter than expected is anomalous: for
        lesions known to be bright), or without ``predict_scale`` one of the others of `residual_map`.
    perceptual_network
        File with the weights of a network, for ``residual="lpips"``; see `uad_models.networks.vgg_features`.
    dropout
        Probability of a feature map to be dropped in training, at least 0 and below 1.
    mc_samples
        How many times an image is passed with dropout left on, for a mean map and `AE.uncertainty_map`: 0 (never) or at
        least 2, which needs ``dropout``.
    """

    channels: tuple[int, ...] = (16, 32, 64)
    kernels: tuple[int, ...] = (4,)
    strides: tuple[int, ...] = (2,)
    dilations: tuple[int, ...] = (1,)
    pools: tuple[int, ...] = (1,)
    latent: Latent = "dense"
    latent_dim: int = 8
    code_kernel: int = 1
    code_stride: int = 1
    reconstruction_loss: ReconstructionLoss = "l2"
    predict_scale: bool = True
    residual: Residual = "l1"
    perceptual_network: str = ""
    dropout: float = 0.0
    mc_samples: int = 0

    @property
    def size_multiple(self) -> int:
        """Each even stride and pooling divides the image; what an odd stride leaves over, the decoder gives back."""
        steps = [step for layer in self._layers() for step in (layer.stride, layer.pool)]
        return math.prod(step for step in steps if step % 2 == 0)

    def check(self) -> None:
        """Refuse a network that cannot be built, and options that exclude each other."""
        self._layers()
        for name in ("latent_dim", "code_kernel", "code_stride"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}: expected at least 1, got {getattr(self, name)}")
        if self.reconstruction_loss == "ssim" and self.predict_scale:
            raise InputError('reconstruction_loss "ssim" has no scale per voxel: set predict_scale to false')
        check_residual(self.residual, scaled=self.predict_scale, network=self.perceptual_network)
        if not 0 <= self.dropout < 1:
            raise InputError(f"dropout: expected at least 0 and below 1, got {self.dropout}")
        if self.mc_samples < 0 or self.mc_samples == 1 or (self.mc_samples and not self.dropout):
            raise InputError(
                f"mc_samples: expected 0, or at least 2 with dropout above 0, got {self.mc_samples} with {self.dropout}"
            )

    def _layers(self) -> tuple[Layer, ...]:
        """Return the encoder's layers."""
        return layers_of(
            self.channels, kernels=self.kernels, strides=self.strides, dilations=self.dilations, pools=self.pools
        )


class AE(Method):
    """Autoencoder with a dense or spatial code.

    Parameters
    ----------
    config
        See `AEConfig`.
    """

    name = "ae"
    Config = AEConfig
    config: AEConfig
    heads: ClassVar[int] = 1
    shared = (*Method.shared, "_samples")
    presets: ClassVar[dict[str, Preset]] = {
        "quick": Preset(
            config={"channels": (16, 32, 64), "latent_dim": 8},
            train={"steps": 500, "batch_size": 16, "learning_rate": 2e-3},
        ),
        "paper": Preset(
            config={
                "channels": (32, 64, 128, 256),
                "latent_dim": 32,
                "reconstruction_loss": "l1",
                "predict_scale": False,
                "residual": "signed",
            },
            train={"steps": 30000, "batch_size": 64, "learning_rate": 1e-3, "validate_every": 500},
        ),
    }

    def __init__(self, config: AEConfig) -> None:
        super().__init__(config)
        self.network = EncoderDecoder(
            in_channels=config.in_channels,
            size=config.size,
            channels=config.channels,
            kernels=config.kernels,
            strides=config.strides,
            dilations=config.dilations,
            pools=config.pools,
            latent=config.latent,
            latent_dim=config.latent_dim,
            code_kernel=config.code_kernel,
            code_stride=config.code_stride,
            heads=self.heads,
            out_channels=config.in_channels * (2 if config.predict_scale else 1),
        )

    def loss(
        self,
        batch: dict[str, Tensor],
        *,
        stage: str = "fit",
        group: str = "all",
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """Return the mean over the batch's brain voxels and channels; see this file's head and `Method.loss`.

        Also ``"error"``, the mean of what ``reconstruction_loss`` names, to log.
        """
        return self.restoration_loss(batch["image"], batch["image"], batch["brain"], generator=generator)

    def restoration_loss(
        self, given: Tensor, wanted: Tensor, brain: Tensor, *, generator: torch.Generator | None
    ) -> dict[str, Tensor]:
        """Return the loss of one image rebuilt from another.

        Parameters
        ----------
        given, wanted
            ``(b, c, *s)``: what the network sees and what it should give.
        brain
            ``(b, 1, *s)`` bool.
        generator
            Source of dropout's masks.

        Returns
        -------
        dict
            ``"loss"`` and ``"error"``, scalars.
        """
        drop = self.training_dropout(generator)
        reconstruction, scale = self.decode(self.network.encode(given, drop=drop)[0], drop=drop)
        norm = self.config.reconstruction_loss
        difference = deviation(wanted, reconstruction, brain, norm)
        error = brain_mean(magnitude(difference, norm), brain)
        loss = error if scale is None else brain_mean(negative_log_likelihood(difference, scale, norm), brain)
        return {"loss": loss, "error": error.detach()}

    def decode(self, code: Tensor, *, drop: FeatureDropout | None = None) -> tuple[Tensor, Tensor | None]:
        """Return the image of a code and the error to expect.

        Parameters
        ----------
        code
            ``(b, latent_dim)`` or ``(b, latent_dim, *grid)``.
        drop
            Drops features on the way.

        Returns
        -------
        reconstruction : Tensor
            ``(b, c, *s)`` float32, not yet cut to a brain.
        scale : Tensor or None
            ``(b, c, *s)`` float32, positive; None without ``predict_scale``.
        """
        output = self.network.decode(code, drop=drop).float()
        if not self.config.predict_scale:
            return output, None
        reconstruction, raw = output.chunk(2, dim=1)
        return reconstruction, softplus(raw) + SMALLEST_SCALE

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the decoded code, averaged over samples of dropout if any; see `Method.reconstruct`."""
        return torch.stack([reconstruction for reconstruction, _ in self._samples(x)]).mean(dim=0) * brain_of(x)

    def anomaly_map(self, x: Tensor) -> Tensor:
        """Return the residual, in expected errors where they are predicted; see `Method.anomaly_map`.

        With ``mc_samples`` the mean over the samples' residuals.
        """
        config = self.config
        maps = [
            residual_map(x, image, config.residual, scale=scale, network=config.perceptual_network)
            for image, scale in self._samples(x)
        ]
        return torch.stack(maps).mean(dim=0)

    def uncertainty_map(self, x: Tensor) -> Tensor:
        """Return how far the reconstructions of Monte-Carlo dropout are apart.

        Parameters
        ----------
        x
            ``(b, c, *s)``, 0 outside the brain.

        Returns
        -------
        Tensor
            ``(b, 1, *s)`` float32: standard deviation over the samples (divided by one less than their number),
            averaged over channels, in the unit of the image; 0 outside the brain.

        Raises
        ------
        InputError
            The method has no ``mc_samples``.
        """
        if not self.config.mc_samples:
            raise InputError("uncertainty_map: needs dropout and mc_samples; this method was made with mc_samples=0")
        reconstructions = torch.stack([reconstruction for reconstruction, _ in self._samples(x)])
        return reconstructions.std(dim=0).mean(dim=1, keepdim=True) * brain_of(x)

    def training_dropout(self, generator: torch.Generator | None) -> FeatureDropout | None:
        """Return the dropout of a training step, with masks of its own for each image; None where there is none."""
        if not self.training or not self.config.dropout:
            return None
        return FeatureDropout(self.config.dropout, generator)

    def _samples(self, x: Tensor) -> list[tuple[Tensor, Tensor | None]]:
        """Reconstructions and scales, the same at every call: one, or one per sample of dropout."""
        drop = None
        if self.config.mc_samples:
            drop = FeatureDropout(self.config.dropout, torch.Generator().manual_seed(SAMPLES_SEED), shared=True)
        count = max(self.config.mc_samples, 1)
        return [self.decode(self.network.encode(x, drop=drop)[0], drop=drop) for _ in range(count)]


def brain_mean(values: Tensor, brain: Tensor) -> Tensor:
    """Return the mean over the brain voxels and channels of a batch.

    Parameters
    ----------
    values
        ``(b, c, *s)``.
    brain
        ``(b, 1, *s)`` bool.

    Returns
    -------
    Tensor
        Scalar; 0 where there is no brain.
    """
    return (values * brain).sum() / (brain.sum() * values.shape[1]).clamp(min=1)


def deviation(x: Tensor, reconstruction: Tensor, brain: Tensor, norm: ReconstructionLoss) -> Tensor:
    """Return how far a reconstruction is off at each voxel: what `magnitude` takes the norm of.

    Parameters
    ----------
    x, reconstruction
        ``(b, c, *s)``; ``x`` is 0 outside the brain.
    brain
        ``(b, 1, *s)`` bool.
    norm
        ``"l1"`` or ``"l2"``: ``x − x̂``; ``"ssim"``: ``1 − SSIM`` of ``x`` and ``x̂`` cut to the brain, so that what lies
        outside does not reach in through the window.

    Returns
    -------
    Tensor
        ``(b, c, *s)`` float32.
    """
    if norm == "ssim":
        return 1 - ssim_map(x.float(), reconstruction * brain)
    return x.float() - reconstruction


def magnitude(difference: Tensor, norm: ReconstructionLoss) -> Tensor:
    """Return the squared (ℓ2) or absolute (ℓ1, SSIM) difference, voxel by voxel."""
    return difference.square() if norm == "l2" else difference.abs()


def negative_log_likelihood(difference: Tensor, scale: Tensor, norm: ReconstructionLoss) -> Tensor:
    """Return how unlikely each difference is, in nats, up to a constant.

    Parameters
    ----------
    difference
        Any shape; see `deviation`.
    scale
        Broadcasts with it; positive.
    norm
        ``"l1"``: a Laplace distribution of that scale, ``|x − x̂| / b + log b``; ``"l2"``: a normal one of that standard
        deviation, ``(x − x̂)² / 2σ² + log σ``; ``"ssim"``: an exponential one of that mean, ``(1 − SSIM) / b + log b``.

    Returns
    -------
    Tensor
        Shape of the two broadcast.
    """
    error = magnitude(difference / scale, norm)
    return (error / 2 if norm == "l2" else error) + scale.log()
