"""What a method must be able to say for scores that need more than an image and its reconstruction."""

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from uad_data.errors import InputError

SEED = 0  # of the noise with which codes are drawn: every image is given the same, so that scores are repeatable


@runtime_checkable
class CodeModel(Protocol):
    """A method with a distribution over codes and a likelihood of images, such as a variational autoencoder."""

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance of an image's code, each ``(b, *code)`` float32."""
        ...

    def divergence(self, x: Tensor) -> Tensor:
        """Return the KL divergence of each image's posterior from the prior in nats, ``(b,)``."""
        ...

    def log_prior(self, code: Tensor) -> Tensor:
        """Return the log density of each code under the prior in nats, ``(b,)``."""
        ...

    def log_likelihood(self, x: Tensor, code: Tensor) -> Tensor:
        """Return the log density of each image given its code, summed over the brain in nats, ``(b,)``."""
        ...

    def image_of(self, code: Tensor) -> Tensor:
        """Return the image that a code stands for, ``(b, c, *s)`` float32, not yet cut to a brain."""
        ...


def as_code_model(method: object, score: str) -> CodeModel:
    """Return the method itself if it is a `CodeModel`.

    Parameters
    ----------
    method
        Any method.
    score
        What it is needed for, for the message.

    Raises
    ------
    InputError
        The method has no distribution over codes.
    """
    if not isinstance(method, CodeModel):
        name = getattr(method, "name", type(method).__name__)
        raise InputError(
            f'score "{score}": expected a method with a distribution over codes (vae_kl, cevae, restoration, '
            f'vae_flow), got {name}; choose one of these, or the score "l2"'
        )
    return method


def fixed_codes(mean: Tensor, log_variance: Tensor, count: int) -> Tensor:
    """Return codes drawn from posteriors with the same noise for every image and every call.

    Parameters
    ----------
    mean, log_variance
        ``(b, *code)``.
    count
        Codes per image.

    Returns
    -------
    Tensor
        ``(count, b, *code)``.
    """
    generator = torch.Generator().manual_seed(SEED)
    noise = torch.randn((count, 1, *mean.shape[1:]), generator=generator).to(mean.device)
    return mean + torch.exp(log_variance / 2) * noise
