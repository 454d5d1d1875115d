"""VAE-flow: a variational autoencoder whose prior is learned, a normalising flow over codes.

Papers
------
Chen, Kingma, Salimans, Duan, Dhariwal, Schulman, Sutskever, Abbeel, "Variational lossy autoencoder", ICLR 2017
(https://arxiv.org/abs/1611.02731), section 3.2: an autoregressive flow as the prior of the code, learned with the rest.

Durkan, Bekasov, Murray, Papamakarios, "Neural spline flows", NeurIPS 2019 (https://arxiv.org/abs/1906.04032): the flow,
in the library zuko (https://zuko.readthedocs.io), which the extra ``uad-models[flow]`` installs.

Loss: the negative bound of `uad_models.methods.vae` with ``KL = E[log q(z|x) − log p(z)]`` estimated from the one code
that is decoded; as a score it is the average over codes with fixed noise.

Deviations: network, scale and scores are those of `uad_models.methods.vae_kl`; the codes are short, and so the flow is
small: two transforms with two hidden layers each.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from uad_data.errors import InputError
from uad_models.method import Preset
from uad_models.methods.ae import brain_mean, deviation, magnitude
from uad_models.methods.vae_kl import VAEKL, VAEKLConfig, VoxelScore
from uad_models.scores.code_model import fixed_codes
from uad_models.scores.sample_scores import CODES, SampleScore, log_normal

if TYPE_CHECKING:
    from zuko.lazy import Flow


@dataclass(frozen=True)
class VAEFlowConfig(VAEKLConfig):
    """Settings of `VAEFlow`.

    Parameters
    ----------
    in_channels, size, ...
        See `VAEKLConfig`; ``latent`` must be ``"dense"`` with at least two numbers, and ``free_bits`` 0.
    transforms
        Of the flow, at least 1.
    flow_width
        Of the two hidden layers of each transform, at least 1.
    """

    voxel_score: VoxelScore = "residual"
    sample_score: SampleScore = "elbo"
    transforms: int = 2
    flow_width: int = 32

    def check(self) -> None:
        """Refuse what `VAEKLConfig` refuses, and codes that the flow cannot take."""
        super().check()
        if self.latent != "dense" or self.latent_dim < 2:
            raise InputError(
                f'latent, latent_dim: expected "dense" and at least 2 for vae_flow, got "{self.latent}" and '
                f"{self.latent_dim}"
            )
        if self.free_bits:
            raise InputError(f"free_bits: expected 0, a flow has no divergence per unit, got {self.free_bits}")
        if self.transforms < 1 or self.flow_width < 1:
            raise InputError(
                f"transforms, flow_width: expected at least 1 each, got {self.transforms} and {self.flow_width}"
            )


class VAEFlow(VAEKL):
    """Variational autoencoder with a normalising-flow prior.

    Parameters
    ----------
    config
        See `VAEFlowConfig`.

    Raises
    ------
    InputError
        The library zuko is not installed.
    """

    name = "vae_flow"
    Config = VAEFlowConfig
    config: VAEFlowConfig
    presets: ClassVar[dict[str, Preset]] = {
        "quick": Preset(
            config={"channels": (16, 32, 64), "latent_dim": 8},
            train={"steps": 300, "batch_size": 16, "learning_rate": 2e-3},
        ),
        "large": Preset(
            config={
                "channels": (32, 64, 128, 256),
                "latent_dim": 32,
                "transforms": 4,
                "flow_width": 128,
            },
            train={"steps": 30000, "batch_size": 64, "learning_rate": 1e-3, "validate_every": 500},
        ),
    }

    def __init__(self, config: VAEFlowConfig) -> None:
        super().__init__(config)
        self.flow = make_flow(config.latent_dim, transforms=config.transforms, width=config.flow_width)

    def loss(
        self,
        batch: dict[str, Tensor],
        *,
        stage: str = "fit",
        group: str = "all",
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """Return the negative bound in nats per voxel; see `Method.loss`.

        Also, to log: ``"error"``, the mean per brain voxel of what ``reconstruction_loss`` names, and ``"kl"``, the
        estimate averaged over the batch.
        """
        image, brain, norm = batch["image"], batch["brain"], self.config.reconstruction_loss
        drop = self.training_dropout(generator)
        mean, log_variance = (code.float() for code in self.network.encode(image, drop=drop))
        noise = torch.randn(mean.shape, generator=generator, device=mean.device)
        code = mean + torch.exp(log_variance / 2) * noise
        reconstruction, scale = self.decode(code, drop=drop)
        divergence = log_normal(code, mean, log_variance) - self.log_prior(code)
        difference = deviation(image, reconstruction, brain, norm)
        loss = self.objective(difference, scale, divergence[:, None], brain)
        error = brain_mean(magnitude(difference.detach(), norm), brain)
        self.remember(error)
        return {"loss": loss, "error": error, "kl": divergence.detach().mean()}

    def log_prior(self, code: Tensor) -> Tensor:
        """Return the log density of codes under the flow, ``(b,)`` in nats; see `VAEKL.log_prior`."""
        with torch.autocast(code.device.type, enabled=False):
            return self.flow().log_prob(code.float())

    def divergence(self, x: Tensor) -> Tensor:
        """Return the estimate of the KL divergence from the flow, ``(b,)`` in nats; see `VAEKL.divergence`."""
        mean, log_variance = self.posterior(x)
        codes = fixed_codes(mean, log_variance, CODES)
        estimates = [log_normal(code, mean, log_variance) - self.log_prior(code) for code in codes]
        return torch.stack(estimates).mean(dim=0)


def make_flow(features: int, *, transforms: int, width: int) -> "Flow":
    """Return a neural spline flow over vectors.

    Parameters
    ----------
    features
        Length of the vectors, at least 2.
    transforms, width
        See `VAEFlowConfig`.

    Returns
    -------
    Flow
        A module; called, it gives the distribution.

    Raises
    ------
    InputError
        The library zuko is not installed.
    """
    try:
        from zuko.flows import NSF
    except ImportError as error:
        raise InputError("vae_flow needs the library zuko: pip install 'uad-models[flow]'") from error
    return NSF(features, transforms=transforms, hidden_features=(width, width))
