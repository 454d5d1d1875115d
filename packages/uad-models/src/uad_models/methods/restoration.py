"""Restoration: the image is moved, a little at a time, to the likeliest healthy image near it.

Papers
------
You, Tezcan, Chen, Konukoglu, "Unsupervised lesion detection via image restoration with a normative prior", MIDL 2019
(https://proceedings.mlr.press/v102/you19a.html), and its extension by Chen, You, Tezcan, Konukoglu, Medical Image
Analysis 2020 (https://arxiv.org/abs/2005.00031): a maximum-a-posteriori estimate ``argmax_X log p(X) − λ TV(X − Y)``.
``log p(X)`` is the bound of a variational autoencoder trained on healthy brains, ``TV`` the total variation: what a
lesion adds is smooth. λ is ``tv_weight``; the papers
take the one under which healthy images change least, which `least_changing_weight` finds when it is called.

Deviations and choices
----------------------
- The search starts at the autoencoder's reconstruction, where a lesion is gone already, not at the image: the papers'
  500 steps away from the image become a few towards it.
- Each step is multiplied by the square of the error to expect at the voxel (predicted, or the mean one), so that one
  step size suits every brain.
- A step that would make the image less likely is not taken, and that image's next ones are half as long.
- The bound is taken at the mean code, not averaged over samples, and the total variation is smoothed by `SMOOTH`: its
  derivative at 0 is 0.
- The quick preset's network is that of `vae`, and its three steps of 0.4 find what ten of 0.2 do; preset ``paper``
  takes the papers' 500 steps. Their Gaussian-mixture prior is not had.
- The papers' text was not at hand: their 500 steps and the rule for λ are from memory and should be checked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from uad_data.errors import InputError
from uad_models.method import Preset, brain_of
from uad_models.methods.vae_kl import VAEKL, VAEKLConfig, VoxelScore
from uad_models.scores import residual_map
from uad_models.scores.kl_gradient import value_and_gradient

SMOOTH = 0.01  # of the 99th percentile, below a scan's noise


@dataclass(frozen=True)
class RestorationConfig(VAEKLConfig):
    """Settings of `Restoration`.

    Parameters
    ----------
    in_channels, size, ...
        See `VAEKLConfig`; ``voxel_score`` must be ``"residual"``: of the image and the restored one.
    restoration_steps
        How often the image is moved, at least 1.
    step_size
        Share of the way to the expected image in each step, where nothing else pulls; above 0 and below 1.
    tv_weight
        λ, in nats per unit of intensity, at least 0.
    """

    voxel_score: VoxelScore = "residual"
    restoration_steps: int = 10
    step_size: float = 0.2
    tv_weight: float = 10.0

    def check(self) -> None:
        """Refuse what `VAEKLConfig` refuses, and steps that lead nowhere."""
        super().check()
        if self.mc_samples:
            raise InputError(f"mc_samples: expected 0, restoration draws no samples, got {self.mc_samples}")
        if self.voxel_score != "residual":
            raise InputError(f'voxel_score: restoration has "residual" only, got "{self.voxel_score}"; see vae_kl')
        if self.restoration_steps < 1 or not 0 < self.step_size < 1 or self.tv_weight < 0:
            raise InputError(
                "restoration_steps, step_size, tv_weight: expected at least 1, between 0 and 1, and at least 0, got "
                f"{self.restoration_steps}, {self.step_size}, {self.tv_weight}"
            )


class Restoration(VAEKL):
    """Maximum-a-posteriori restoration with a variational autoencoder as prior.

    Parameters
    ----------
    config
        See `RestorationConfig`.
    """

    name = "restoration"
    Config = RestorationConfig
    config: RestorationConfig
    presets: ClassVar[dict[str, Preset]] = {
        "quick": Preset(
            config={"channels": (16, 32, 64), "latent_dim": 8, "restoration_steps": 2, "step_size": 0.6},
            train={"steps": 500, "batch_size": 16, "learning_rate": 2e-3},
        ),
        "paper": Preset(
            config={
                "channels": (16, 32, 64, 128),
                "latent_dim": 128,
                "predict_scale": False,
                "residual": "l1",
                "restoration_steps": 500,
                "step_size": 0.01,
            },
            train={"steps": 30000, "batch_size": 64, "learning_rate": 5e-4, "validate_every": 500},
        ),
    }

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the restored image; see `Method.reconstruct`."""
        return self.restore(x, self.config.tv_weight)

    @torch.inference_mode(False)  # a caller's inference tensors cannot be differentiated
    @torch.no_grad()
    def restore(self, x: Tensor, tv_weight: float) -> Tensor:
        """Return the image moved towards what is likely, with total variation weighed as asked.

        Parameters
        ----------
        x
            ``(b, c, *s)``, 0 outside the brain.
        tv_weight
            λ, at least 0.

        Returns
        -------
        Tensor
            ``(b, c, *s)`` float32, 0 outside the brain.
        """
        observed = x.detach().float().clone()
        brain = brain_of(observed)
        image, scale = self.decode(self.posterior(observed)[0])
        image = image * brain
        scale = self.typical_scale() if scale is None else scale

        def unlikely(image: Tensor) -> Tensor:
            return self.negative_bound(image) + tv_weight * total_variation((image - observed) * brain)

        share = torch.full((len(x), *(1 for _ in x.shape[1:])), self.config.step_size, device=x.device)
        value, gradient = value_and_gradient(unlikely, image)
        for _ in range(self.config.restoration_steps):
            moved = (image - share * scale.square() * gradient) * brain
            new_value, new_gradient = value_and_gradient(unlikely, moved)
            better = (new_value < value).reshape(share.shape)
            image, gradient = torch.where(better, moved, image), torch.where(better, new_gradient, gradient)
            value = torch.minimum(value, new_value)
            share = torch.where(better, share, share / 2)
        return image

    def anomaly_map(self, x: Tensor) -> Tensor:
        """Return the residual to the restored image, in expected errors where predicted; see `Method.anomaly_map`."""
        _, scale = self.decode(self.posterior(x)[0])
        config = self.config
        return residual_map(x, self.reconstruct(x), config.residual, scale=scale, network=config.perceptual_network)


def total_variation(difference: Tensor) -> Tensor:
    """Return the total variation of each image, summed over voxels and channels.

    Parameters
    ----------
    difference
        ``(b, c, *s)``.

    Returns
    -------
    Tensor
        ``(b,)``: ``Σ √(|∇|² + ε²) − ε`` with forward differences, ε being `SMOOTH`; 0 for a constant image.
    """
    squared = torch.zeros_like(difference)
    for axis in range(2, difference.dim()):
        last = difference.narrow(axis, -1, 1)
        squared = squared + difference.diff(dim=axis, append=last).square()
    return ((squared + SMOOTH**2).sqrt() - SMOOTH).flatten(1).sum(dim=1)


def least_changing_weight(method: Restoration, healthy: Tensor, weights: Sequence[float]) -> float:
    """Return the weight of the total variation under which healthy images are changed least by restoration.

    Parameters
    ----------
    method
        Trained, in ``eval()`` mode.
    healthy
        ``(b, c, *s)``: images of healthy brains that it was not trained on.
    weights
        Candidates, at least one.

    Returns
    -------
    float
        One of the candidates: that with the smallest mean absolute change inside the brain.
    """
    changes = {weight: (method.restore(healthy, weight) - healthy).abs().mean().item() for weight in weights}
    return min(changes, key=changes.__getitem__)
