"""VQ-VAE: an autoencoder whose code is a grid of entries of a learnt codebook; what these cannot rebuild is anomalous.

Papers
------
van den Oord, Vinyals, Kavukcuoglu, "Neural discrete representation learning", NeurIPS 2017
(https://arxiv.org/abs/1711.00937): equations 1 to 3. Network and quantiser: `uad_models.networks.residual_vq` and
`uad_models.networks.quantiser`, each with its own deviations.

Pinaya et al., "Unsupervised brain imaging 3D anomaly detection and segmentation with transformers", Medical Image
Analysis 2022 (https://doi.org/10.1016/j.media.2022.102475): the VQ-VAE as a baseline of its own, by its residual, and
the first stage of `uad_models.methods.vqvae_transformer`. S. Kuznetsov's poster "Self-supervised lesion segmentation"
(University of Sussex) compares it with AE and VAE.

Dhariwal et al., "Jukebox", 2020 (https://arxiv.org/abs/2005.00341), section 3.3: ``spectral_weight``, the distance
between amplitude spectra, here over the axes of space.

Isola et al., "Image-to-image translation with conditional adversarial networks", CVPR 2017
(https://arxiv.org/abs/1611.07004), section 3.2.2: ``adversarial_weight``, a discriminator of patches, here without
normalisation and with the hinge loss of Lim and Ye, "Geometric GAN" (https://arxiv.org/abs/1705.02894).

Zhang et al., "The unreasonable effectiveness of deep features as a perceptual metric", CVPR 2018
(https://arxiv.org/abs/1801.03924): ``perceptual_weight``, see `uad_models.scores.perceptual`.

Deviations and choices
----------------------
- The reconstruction error is the mean over brain voxels and channels, ℓ1 by default; the decoded image is cut to the
  brain. Spectral, adversarial and perceptual terms are off unless asked for; the last needs weights of another network,
  which the user must have: none are shipped.
- ``predict_scale``, on but in preset ``paper``, as in `uad_models.methods.ae` and after the paper named there: the
  decoder also gives the error to expect at each voxel, it is learnt by likelihood, and the residual is divided by it.
- Sizes of network and codebook in preset ``paper`` are common ones for images of this kind, not read from a table.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import relu, softplus

from uad_data.errors import InputError
from uad_models.method import Method, MethodConfig, Preset, brain_of
from uad_models.methods.ae import SMALLEST_SCALE, brain_mean, magnitude, negative_log_likelihood
from uad_models.networks.patch_discriminator import PatchDiscriminator
from uad_models.networks.quantiser import Distance, Quantiser, Update
from uad_models.networks.residual_vq import ResidualVQ
from uad_models.scores import Residual, check_residual, residual_map
from uad_models.scores.perceptual import lpips


@dataclass(frozen=True)
class VQVAEConfig(MethodConfig):
    """Settings of `VQVAE`.

    Parameters
    ----------
    in_channels, size
        See `MethodConfig`; every side a multiple of ``2 ** len(channels)``.
    channels
        Width after each halving of the image.
    blocks
        Residual blocks at the coarsest level of encoder and decoder.
    codes
        Size of the codebook, at least 2.
    code_dim
        Length of its entries.
    codebook_update
        ``"average"`` (moving averages) or ``"gradient"``, see `Quantiser`.
    distance
        ``"euclidean"`` or ``"cosine"``.
    decay
        Of the moving averages, at least 0 and below 1.
    commitment
        Weight of the commitment term, not negative.
    revive_below
        Share of the average use below which a code is placed anew, at least 0 and below 1.
    reconstruction_loss
        ``"l1"`` (errors follow a Laplace distribution) or ``"l2"`` (a normal one).
    predict_scale
        Predict the error to expect at each voxel as well, and divide the residual by it.
    spectral_weight, adversarial_weight, perceptual_weight
        Weights of these terms, not negative; 0 leaves them out.
    residual
        How difference becomes map, see `residual_map`.
    perceptual_network
        File with the weights of a network, for ``perceptual_weight`` and ``residual="lpips"``; see
        `uad_models.networks.vgg_features`.
    """

    channels: tuple[int, ...] = (16, 32, 64)
    blocks: int = 2
    codes: int = 64
    code_dim: int = 32
    codebook_update: Update = "average"
    distance: Distance = "euclidean"
    decay: float = 0.99
    commitment: float = 0.25
    revive_below: float = 0.03
    reconstruction_loss: Literal["l1", "l2"] = "l1"
    predict_scale: bool = True
    spectral_weight: float = 0.0
    adversarial_weight: float = 0.0
    perceptual_weight: float = 0.0
    residual: Residual = "l1"
    perceptual_network: str = ""

    @property
    def size_multiple(self) -> int:
        """Each level of the network halves the image."""
        return 2 ** len(self.channels)

    @property
    def grid(self) -> tuple[int, ...]:
        """Sides of the grid of codes."""
        return tuple(side // self.size_multiple for side in self.size)

    def check(self) -> None:
        """Refuse a network without layers, a codebook without choice, and weights and shares out of range."""
        if not self.channels or min(self.channels) < 1:
            raise InputError(f"channels: expected at least one width, all positive, got {self.channels}")
        for name, least in (("blocks", 0), ("codes", 2), ("code_dim", 1)):
            if getattr(self, name) < least:
                raise InputError(f"{name}: expected at least {least}, got {getattr(self, name)}")
        for name in ("commitment", "spectral_weight", "adversarial_weight", "perceptual_weight"):
            if getattr(self, name) < 0:
                raise InputError(f"{name}: expected at least 0, got {getattr(self, name)}")
        for name in ("decay", "revive_below"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name}: expected at least 0 and below 1, got {getattr(self, name)}")
        if self.perceptual_weight and not self.perceptual_network:
            raise InputError(
                "perceptual_weight: set perceptual_network to a file with the weights of a network that you have"
            )
        check_residual(self.residual, scaled=self.predict_scale, network=self.perceptual_network)


class VQVAE(Method):
    """Vector-quantised autoencoder.

    Parameters
    ----------
    config
        See `VQVAEConfig`.
    """

    name = "vqvae"
    shared = (*Method.shared, "codes", "decode")
    Config = VQVAEConfig
    config: VQVAEConfig
    presets: ClassVar[dict[str, Preset]] = {
        "quick": Preset(
            config={"channels": (16, 32, 64), "codes": 64, "code_dim": 32, "decay": 0.95},
            train={"steps": 400, "batch_size": 16, "learning_rate": 2e-3, "validate_every": 200},
        ),
        "paper": Preset(
            config={
                "channels": (128, 256, 256),
                "blocks": 3,
                "codes": 256,
                "code_dim": 64,
                "predict_scale": False,
            },
            train={"steps": 30000, "batch_size": 64, "learning_rate": 3e-4, "validate_every": 500},
        ),
    }

    def __init__(self, config: VQVAEConfig) -> None:
        super().__init__(config)
        self.network = ResidualVQ(
            dims=len(config.size),
            in_channels=config.in_channels,
            channels=config.channels,
            blocks=config.blocks,
            code_dim=config.code_dim,
            out_channels=config.in_channels * (2 if config.predict_scale else 1),
        )
        self.quantiser = Quantiser(
            codes=config.codes,
            code_dim=config.code_dim,
            update=config.codebook_update,
            distance=config.distance,
            decay=config.decay,
            commitment=config.commitment,
            revive_below=config.revive_below,
        )
        if config.adversarial_weight:
            self.discriminator = PatchDiscriminator(dims=len(config.size), in_channels=config.in_channels)

    def loss(
        self,
        batch: dict[str, Tensor],
        *,
        stage: str = "fit",
        group: str = "all",
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """Return reconstruction, commitment and optional terms, weighted and added up; see `Method.loss`.

        Also ``"error"``, the mean ℓ1 or ℓ2 error per brain voxel; ``"perplexity"`` and ``"codes_in_use"`` (a share of
        the codebook) of this batch's codes, to log.
        """
        config, image, brain = self.config, batch["image"].float(), batch["brain"]
        if group == "discriminator":
            return self._discriminate(image, brain)
        quantised = self.quantiser(self.network.encode(image), generator=generator)
        reconstruction, scale = self._image_and_scale(self.network.decode(quantised.vectors))
        reconstruction, norm = reconstruction * brain, config.reconstruction_loss
        difference = image - reconstruction
        error = brain_mean(magnitude(difference, norm), brain)
        fit = error if scale is None else brain_mean(negative_log_likelihood(difference, scale, norm), brain)
        loss = fit + quantised.loss
        if config.spectral_weight:
            loss = loss + config.spectral_weight * spectral_distance(image, reconstruction)
        if config.perceptual_weight:
            loss = loss + config.perceptual_weight * lpips(image, reconstruction, config.perceptual_network)
        if config.adversarial_weight and self.training:  # validations are not judged by an opponent that moves
            loss = loss - config.adversarial_weight * self.discriminator(reconstruction).float().mean()
        return {
            "loss": loss,
            "error": error.detach(),
            "perplexity": quantised.perplexity,
            "codes_in_use": quantised.in_use,
        }

    def parameter_groups(self, stage: str) -> dict[str, list[nn.Parameter]]:
        """Return one group, or with an adversarial term two; see `Method.parameter_groups`."""
        own = [*self.network.parameters(), *self.quantiser.parameters()]
        if not self.config.adversarial_weight:
            return {"all": own}
        return {"network": own, "discriminator": list(self.discriminator.parameters())}

    def codes(self, x: Tensor) -> Tensor:
        """Return the codes of images, which is all that a prior is trained on: they can be kept instead of the images.

        Parameters
        ----------
        x
            ``(b, c, *s)``.

        Returns
        -------
        Tensor
            ``(b, *grid)`` int64.
        """
        return self.quantiser.nearest(self.network.encode(x))

    def decode(self, codes: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the images of codes and the error to expect.

        Parameters
        ----------
        codes
            ``(b, *grid)`` int64.

        Returns
        -------
        reconstruction : Tensor
            ``(b, c, *s)`` float32, not yet cut to a brain.
        scale : Tensor or None
            ``(b, c, *s)`` float32, positive; None without ``predict_scale``.
        """
        return self._image_and_scale(self.network.decode(self.quantiser.lookup(codes).movedim(-1, 1)))

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the decoded codes; see `Method.reconstruct`."""
        return self.decode(self.codes(x))[0] * brain_of(x)

    def anomaly_map(self, x: Tensor) -> Tensor:
        """Return the residual, in expected errors where they are predicted; see `Method.anomaly_map`."""
        return self.residual(x, self.codes(x))

    def residual(self, x: Tensor, codes: Tensor) -> Tensor:
        """Return the difference between images and what codes decode to, in expected errors where they are predicted.

        Parameters
        ----------
        x
            ``(b, c, *s)``, 0 outside the brain.
        codes
            ``(b, *grid)`` int64: those of the images, or others.

        Returns
        -------
        Tensor
            ``(b, 1, *s)`` float32, 0 outside the brain.
        """
        return self._difference(x, *self.decode(codes))

    def _difference(self, x: Tensor, reconstruction: Tensor, scale: Tensor | None) -> Tensor:
        """Return the map of images and what `decode` gives."""
        config = self.config
        return residual_map(x, reconstruction, config.residual, scale=scale, network=config.perceptual_network)

    def _image_and_scale(self, output: Tensor) -> tuple[Tensor, Tensor | None]:
        """Part the decoder's output ``(b, c or 2 c, *s)``."""
        if not self.config.predict_scale:
            return output.float(), None
        reconstruction, raw = output.float().chunk(2, dim=1)
        return reconstruction, softplus(raw) + SMALLEST_SCALE

    def _discriminate(self, image: Tensor, brain: Tensor) -> dict[str, Tensor]:
        """Return the hinge loss of the discriminator; the codebook does not move."""
        with torch.no_grad():
            made = self.decode(self.codes(image))[0] * brain
        real, fake = self.discriminator(image).float(), self.discriminator(made).float()
        return {"loss": relu(1 - real).mean() + relu(1 + fake).mean()}


def spectral_distance(x: Tensor, reconstruction: Tensor) -> Tensor:
    """Return the mean squared difference between amplitude spectra.

    Parameters
    ----------
    x, reconstruction
        ``(b, c, *s)`` float32.

    Returns
    -------
    Tensor
        Scalar; the transform keeps the ℓ2 norm.
    """
    axes = tuple(range(2, x.ndim))
    spectra = (torch.fft.rfftn(each, dim=axes, norm="ortho").abs() for each in (x, reconstruction))
    return torch.nn.functional.mse_loss(*spectra)
