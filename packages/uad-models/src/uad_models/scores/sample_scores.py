"""Scores of a whole image, by name.

Papers
------
``"elbo"``, ``"kl"``: Zimmerer, Kohl, Petersen, Isensee, Maier-Hein, "Context-encoding variational autoencoder for
unsupervised anomaly detection", 2018 (https://arxiv.org/abs/1812.05941): the negative bound, and its KL term alone.

``"importance_weighted"``: Burda, Grosse, Salakhutdinov, "Importance weighted autoencoders", ICLR 2016
(https://arxiv.org/abs/1509.00519), equation 8: a tighter bound of the likelihood.

Reductions: likelihoods are summed over brain voxels and channels, densities of codes over the code, in nats. Constants
of the likelihood's density (``log 2`` or ``log √2π`` per voxel) are left out.
"""

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from uad_models.method import Method, brain_of
from uad_models.scores.code_model import CodeModel, as_code_model, fixed_codes

SampleScore = Literal["l2", "elbo", "kl", "importance_weighted"]
CODES = 8  # drawn per image


def sample_score(method: Method, x: Tensor, name: SampleScore) -> Tensor:
    """Return how anomalous each image is, by the name of a score.

    Parameters
    ----------
    method
        Any method for ``"l2"``; a `CodeModel` for the others.
    x
        ``(b, c, *s)``, 0 outside the brain.
    name
        ``"l2"``: `Method.anomaly_score`'s distance to the reconstruction; ``"elbo"``: the negative evidence lower
        bound; ``"kl"``: the KL divergence of the code from the prior; ``"importance_weighted"``: the negative log
        likelihood estimated from 8 codes.

    Returns
    -------
    Tensor
        ``(b,)`` float32, higher is more anomalous; 0 for an image without a brain. Codes are drawn with fixed noise.

    Raises
    ------
    InputError
        The method has no distribution over codes.
    """
    if name == "l2":
        return Method.anomaly_score(method, x)
    score = CODE_SCORES[name](as_code_model(method, name), x)
    return score * brain_of(x).flatten(1).any(dim=1)


def negative_elbo(model: CodeModel, x: Tensor) -> Tensor:
    """Return the negative evidence lower bound: ``KL − E log p(x|z)``.

    Parameters
    ----------
    model
        A method with a distribution over codes.
    x
        ``(b, c, *s)``.

    Returns
    -------
    Tensor
        ``(b,)``, nats.
    """
    codes = fixed_codes(*model.posterior(x), CODES)
    likelihood = torch.stack([model.log_likelihood(x, code) for code in codes])
    return model.divergence(x) - likelihood.mean(dim=0)


def divergence(model: CodeModel, x: Tensor) -> Tensor:
    """Return the KL divergence of each image's code from the prior.

    Parameters
    ----------
    model
        A method with a distribution over codes.
    x
        ``(b, c, *s)``.

    Returns
    -------
    Tensor
        ``(b,)``, nats.
    """
    return model.divergence(x)


def importance_weighted(model: CodeModel, x: Tensor) -> Tensor:
    """Return ``−log ⅟k Σ p(x|z) p(z) / q(z|x)`` over codes ``z`` drawn from ``q``.

    Parameters
    ----------
    model
        A method with a distribution over codes.
    x
        ``(b, c, *s)``.

    Returns
    -------
    Tensor
        ``(b,)``, nats.
    """
    mean, log_variance = model.posterior(x)
    codes = fixed_codes(mean, log_variance, CODES)
    weights = torch.stack(
        [model.log_likelihood(x, code) + model.log_prior(code) - log_normal(code, mean, log_variance) for code in codes]
    )
    return math.log(CODES) - weights.logsumexp(dim=0)


def log_normal(code: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return the log density of codes under normal distributions, summed over the code.

    Parameters
    ----------
    code, mean, log_variance
        ``(b, *code)``.

    Returns
    -------
    Tensor
        ``(b,)``, nats.
    """
    density = -0.5 * ((code - mean).square() * torch.exp(-log_variance) + log_variance + math.log(2 * math.pi))
    return density.flatten(1).sum(dim=1)


CODE_SCORES: dict[str, Callable[[CodeModel, Tensor], Tensor]] = {
    "elbo": negative_elbo,
    "kl": divergence,
    "importance_weighted": importance_weighted,
}
