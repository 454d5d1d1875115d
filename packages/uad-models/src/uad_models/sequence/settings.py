"""Settings of `uad_models.methods.vqvae_transformer`."""

from dataclasses import dataclass
from typing import Any, Literal

import torch

from uad_data.errors import InputError
from uad_models.method import unknown_name
from uad_models.methods.vqvae import VQVAEConfig
from uad_models.sequence.orderings import ORDERINGS
from uad_models.sequence.prior import POSITIONS, Attention
from uad_models.sequence.sampling import Drawing

# Settings that older runs do not have; at these values they change nothing.
_ABSENT: dict[str, Any] = {"attention": "full", "told_height": False, "drawn_in": "float32", "compiled": False}


@dataclass(frozen=True)
class VQVAETransformerConfig(VQVAEConfig):
    """Settings of `VQVAETransformer`.

    Parameters
    ----------
    in_channels, size, channels, blocks, codes, code_dim, codebook_update, distance, decay, commitment, revive_below, \
reconstruction_loss, predict_scale, spectral_weight, adversarial_weight, perceptual_weight, residual, perceptual_network
        See `VQVAEConfig`.
    width, depth, heads
        Of the transformer; ``width`` a multiple of ``2 * heads``.
    orderings
        Names of orders, see `uad_models.sequence.orderings`: what the prior learns and what is averaged over.
    positions
        Which of ``"absolute"``, ``"rotary"``, ``"spatial"``, see `CodePrior`; the first or the last among them.
    attention
        ``"full"``, or ``"linear"`` for sequences of many thousands of codes; see `CodePrior`.
    told_height
        For slices: tell the prior how high in its scan a slice lies (`Method.covariates`).
    samples
        Times that unlikely codes are drawn, per order.
    temperature
        Of the draws, positive; below 1 prefers likely codes.
    top_k
        Draw among so many of the likeliest codes; None among all.
    drawn_in
        Number format of the draws' matrix products: ``"float32"``, or ``"bfloat16"``, in which some draws differ.
    compiled
        Compile the passes that draw; the first image then waits for the compiler.
    healthy_quantile
        Share of healthy codes that count as unlikely, above 0 and below 1.
    judged_by
        What the likelihood of a code is given: ``"healed"``, the codes before it as far as they were healed, or
        ``"own"`` (the paper), the image's own.
    averaged
        What is averaged over samples and orders: the healed ``"images"``, or each one's masked ``"residuals"`` (the
        paper).
    outside
        What counts of the residual where no code is unlikely, from 0 (the paper) to 1 (as much as where one is).
    map_of
        ``"healed"``: the whole chain; ``"masked"``: the VQ-VAE's residual where codes are unlikely; ``"residual"``:
        the VQ-VAE's residual; ``"likelihood"``: the codes' negative log likelihood in nats, enlarged.
    score_of
        ``"distance"``: as `Method.anomaly_score`; ``"sequence"``: see `VQVAETransformer.sequence_bits`.
    """

    width: int = 64
    depth: int = 4
    heads: int = 4
    orderings: tuple[str, ...] = ("raster_0", "raster_7")
    positions: tuple[str, ...] = POSITIONS
    attention: Attention = "full"
    told_height: bool = False
    samples: int = 4
    temperature: float = 1.0
    top_k: int | None = None
    drawn_in: Literal["float32", "bfloat16"] = "float32"
    compiled: bool = False
    healthy_quantile: float = 0.02
    judged_by: Literal["healed", "own"] = "healed"
    averaged: Literal["images", "residuals"] = "images"
    outside: float = 0.0
    map_of: Literal["healed", "masked", "residual", "likelihood"] = "healed"
    score_of: Literal["distance", "sequence"] = "distance"

    def check(self) -> None:
        """Refuse what `VQVAEConfig` refuses, unknown names, and numbers out of range."""
        super().check()
        for field, names, known in (
            ("orderings", self.orderings, ORDERINGS),
            ("positions", self.positions, POSITIONS),
        ):
            for name in names:
                if name not in known:
                    raise InputError(f"{field}: {unknown_name('name', name, list(known))}")
        if not self.orderings:
            raise InputError(f"orderings: expected at least one of {', '.join(ORDERINGS)}")
        if not {"absolute", "spatial"} & {*self.positions}:
            raise InputError(f"positions: expected 'absolute', 'spatial' or both, got {self.positions}")
        for name in ("width", "depth", "heads", "samples"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}: expected at least 1, got {getattr(self, name)}")
        if self.width % (2 * self.heads):
            raise InputError(f"width: expected a multiple of 2 * heads = {2 * self.heads}, got {self.width}")
        if self.temperature <= 0:
            raise InputError(f"temperature: expected above 0, got {self.temperature}")
        if self.top_k is not None and self.top_k < 1:
            raise InputError(f"top_k: expected at least 1 or None, got {self.top_k}")
        if self.told_height and len(self.size) == 3:
            raise InputError(f"told_height: a volume has no height in its scan: expected size (h, w), got {self.size}")
        if not 0 <= self.outside <= 1:
            raise InputError(f"outside: expected 0 to 1, got {self.outside}")
        if not 0 < self.healthy_quantile < 1:
            raise InputError(f"healthy_quantile: expected above 0 and below 1, got {self.healthy_quantile}")

    def to_dict(self) -> dict[str, Any]:
        """As `MethodConfig.to_dict`; settings that older runs do not have are left out where they change nothing."""
        return {name: value for name, value in super().to_dict().items() if _ABSENT.get(name, ...) != value}

    @property
    def drawing(self) -> Drawing:
        """How codes are drawn."""
        return Drawing(
            temperature=self.temperature,
            top_k=self.top_k,
            dtype=getattr(torch, self.drawn_in),
            compiled=self.compiled,
        )
