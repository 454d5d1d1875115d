"""VQ-VAE and transformer: codes that a healthy brain would hardly have are drawn anew; what that changes is anomalous.

Papers
------
Pinaya et al., "Unsupervised brain imaging 3D anomaly detection and segmentation with transformers", Medical Image
Analysis 2022 (https://doi.org/10.1016/j.media.2022.102475); first as "Unsupervised brain anomaly detection and
segmentation with transformers", MIDL 2021 (https://arxiv.org/abs/2102.11650). The chain of a map:

1. the VQ-VAE gives the codes of an image, the prior the likelihood of each code, given those before it in an order;
2. codes below a threshold are unlikely;
3. they are drawn anew from the prior, each given all codes before it, kept or drawn: several times (`samples`) and in
   several orders (`orderings`, the ensemble);
4. each set of codes is decoded, and the residual of each is weighted by where its codes were unlikely: the grid of
   unlikely codes, enlarged to the image and smoothed;
5. the weighted residuals are averaged over samples and orders.

The first stage is `uad_models.methods.vqvae`; see also `uad_models.sequence` for prior, orders and sampling.

Deviations and choices
----------------------
- The threshold is a quantile (``healthy_quantile``) of the likelihoods of *healthy validation* codes inside the brain,
  over all orders: each validation of the stage ``"prior"`` counts them anew, and the counts are saved with the weights.
  The paper's public code uses one likelihood, 0.005, for every codebook. Where nothing was validated yet, codes that
  are less likely than chance are unlikely. No test image is ever looked at for it.
- ``judged_by="healed"``, the default but in preset ``paper``: a code is judged, and drawn anew, given the codes before
  it as they were healed, in one go. In the paper (``"own"``) it is judged given the image's own codes, and a lesion's
  first codes make the rest of it likely.
- One network is told its order, instead of one network per order; one name in ``orderings`` gives the latter.
- ``told_height=True`` conditions the prior on how high in its scan a slice lies; a tenth of the training slices are not
  told, after Ho and Salimans, "Classifier-free diffusion guidance", 2022 (https://arxiv.org/abs/2207.12598), so that
  every function also takes an image alone. Off by default.
- ``attention="linear"`` in the place of the paper's Performer: see `uad_models.sequence.linear_decoder`.
- Only codes whose part of the image holds brain can be unlikely.
- ``averaged="images"``, the default but in preset ``paper``: the map is the residual to the mean healed image, weighted
  by the mean mask. In the paper (``"residuals"``) each sample's residual is weighted by its own mask, and step 5
  averages these: what one draw has and another has not then stands in the map like a lesion.
- With ``predict_scale``, on but in preset ``paper``, residuals are in the errors to expect of what was drawn.
- ``score_of="sequence"``, the paper's score of a whole image, is the negative log likelihood of the codes inside the
  brain, in bits per code, averaged over orders. It finds scans of another kind; a small lesion may change no code. The
  default is therefore what every other method has, the distance to the healed image.
- The mask is smoothed by a Gaussian of half a code's side; draws are decided by numbers from one seed, the same for
  every image, so that an image has the same map alone and in a batch.
- Sizes in preset ``paper`` are common ones for images of this kind, not read from a table.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from uad_data.errors import InputError
from uad_models.gaussian import gaussian_mean
from uad_models.method import Preset, brain_of, distance
from uad_models.methods.vqvae import VQVAE
from uad_models.sequence.prior import CodePrior
from uad_models.sequence.sampling import resample, resample_unlikely
from uad_models.sequence.settings import VQVAETransformerConfig

SAMPLING_SEED = 0
LEAST = -25.0  # nats; a likelihood below 1e-10 counts as that
BINS = 1000
NOT_TOLD = 0.1  # of training slices, so that an image alone has a likelihood too
ROWS_MEMORY = 2**29  # bytes of keys and values held at a time

_MAX_POOL = {2: functional.adaptive_max_pool2d, 3: functional.adaptive_max_pool3d}
_LINEAR = {2: "bilinear", 3: "trilinear"}


@dataclass(frozen=True)
class Healing:
    """What the prior finds unlikely, and what it would have there.

    Parameters
    ----------
    codes
        ``(b, *grid)`` int64: the image's own.
    log_likelihood
        ``(b, o, *grid)`` float32, in nats, per order, given the image's own codes.
    unlikely
        ``(b, o, m, *grid)`` bool: which codes were drawn anew, in each order and sample.
    healed
        ``(b, o, m, *grid)`` int64: the codes of each order and sample.
    """

    codes: Tensor
    log_likelihood: Tensor
    unlikely: Tensor
    healed: Tensor

    @cached_property
    def each(self) -> tuple[Tensor, ...]:
        """The codes of each order and sample, ``(b, *grid)``, the same tensors each time."""
        return self.healed.flatten(1, 2).unbind(1)


class VQVAETransformer(VQVAE):
    """VQ-VAE whose unlikely codes an autoregressive transformer draws anew.

    Parameters
    ----------
    config
        See `VQVAETransformerConfig`.
    """

    name = "vqvae_transformer"
    shared = (*VQVAE.shared, "heal")
    Config = VQVAETransformerConfig
    config: VQVAETransformerConfig
    stages = ("vqvae", "prior")
    extracted = ("prior",)
    healthy_counts: Tensor
    prior_codebook: Tensor
    presets: ClassVar[dict[str, Preset]] = {
        "quick": Preset(
            config={
                "channels": (16, 32, 64),
                "codes": 64,
                "code_dim": 32,
                "decay": 0.95,
                "width": 64,
                "depth": 4,
                "heads": 4,
                "samples": 2,
            },
            train={"steps": 600, "batch_size": 16, "learning_rate": 2e-3, "validate_every": 200},
        ),
        "paper": Preset(
            config={
                "channels": (128, 256, 256),
                "blocks": 3,
                "codes": 256,
                "code_dim": 64,
                "predict_scale": False,
                "judged_by": "own",
                "averaged": "residuals",
                "width": 256,
                "depth": 8,
                "heads": 8,
                "orderings": tuple(f"raster_{number}" for number in range(8)),
            },
            train={"steps": 30000, "batch_size": 64, "learning_rate": 3e-4, "validate_every": 500},
        ),
    }

    def __init__(self, config: VQVAETransformerConfig) -> None:
        super().__init__(config)
        self.prior = CodePrior(
            grid=config.grid,
            codes=config.codes,
            width=config.width,
            depth=config.depth,
            heads=config.heads,
            orderings=config.orderings,
            positions=config.positions,
            attention=config.attention,
            told_height=config.told_height,
        )
        self.register_buffer("healthy_counts", torch.zeros(BINS))
        self.register_buffer("prior_codebook", torch.zeros_like(self.quantiser.codebook.detach()))

    @property
    def covariates(self) -> tuple[str, ...]:
        """Return ``("height",)`` with ``told_height``; see `Method.covariates`."""
        return ("height",) if self.config.told_height else ()

    @torch.no_grad()
    def extract(self, batch: dict[str, Tensor], *, stage: str) -> dict[str, Tensor]:
        """Return the codes, which of them stand for brain, and covariates; see `Method.extract`."""
        told = {name: batch[name] for name in self.covariates if name in batch}
        return {"codes": self.codes(batch["image"]), "inside": self._in_brain(batch["brain"]), **told}

    def parameter_groups(self, stage: str) -> dict[str, list[nn.Parameter]]:
        """Return the VQ-VAE's groups, or the prior's parameters; see `Method.parameter_groups`."""
        return {"all": list(self.prior.parameters())} if stage == "prior" else super().parameter_groups(stage)

    def loss(
        self,
        batch: dict[str, Tensor],
        *,
        stage: str = "vqvae",
        group: str = "all",
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """Return the loss of a stage; see `Method.loss`.

        ``"vqvae"``: as `VQVAE.loss`. ``"prior"``: the negative log likelihood of all codes, each image in an order
        drawn for it, in nats per code; also ``"bits"``, the same in bits. In eval mode the likelihoods are counted for
        the threshold, until the next loss in training mode. It takes a batch of images, or what `extract` made of one.
        """
        if stage == "vqvae":
            return super().loss(batch, stage=stage, group=group, generator=generator)
        found = batch if "codes" in batch else self.extract(batch, stage=stage)
        codes, height = found["codes"], found.get("height")
        orders = len(self.config.orderings)
        which = torch.randint(orders, (len(codes),), generator=generator, device=codes.device)
        if height is not None and self.training:
            untold = torch.rand(height.shape, generator=generator, device=height.device) < NOT_TOLD
            height = height.masked_fill(untold, torch.nan)
        likelihood = self.prior.log_likelihood(self.prior.sequences(codes, which), which, height)
        if self.training:
            self.prior_codebook.copy_(self.quantiser.codebook.detach())
            self.healthy_counts.zero_()
        else:
            self._count(self.prior.grids(likelihood.detach(), which)[found["inside"]])
        loss = -likelihood.mean()
        return {"loss": loss, "bits": loss.detach() / math.log(2)}

    def threshold(self) -> Tensor:
        """Return the log likelihood below which a code is unlikely.

        Returns
        -------
        Tensor
            Scalar, in nats: the upper edge of the bin that ``healthy_quantile`` of the healthy validation codes reach,
            or that of chance where none were counted.
        """
        cumulated = self.healthy_counts.cumsum(dim=0)
        below = (cumulated < self.config.healthy_quantile * cumulated[-1]).sum()
        fitted = LEAST * (1 - (below + 1) / BINS)
        return torch.where(cumulated[-1] > 0, fitted, -math.log(self.config.codes))

    def log_likelihood(self, codes: Tensor, *, height: Tensor | None = None) -> Tensor:
        """Return the log likelihood of each code, given those before it, in each order.

        Parameters
        ----------
        codes
            ``(b, *grid)`` int64.
        height
            ``(b,)``, see `Method.covariates`; None where it is not known.

        Returns
        -------
        Tensor
            ``(b, o, *grid)`` float32, in nats.
        """
        rows, which, height = self._in_all_orders(codes, height)
        likelihood = self.prior.log_likelihood(self.prior.sequences(rows, which), which, height)
        return self.prior.grids(likelihood, which).unflatten(0, (len(codes), -1))

    def unlikely(self, x: Tensor, codes: Tensor, *, height: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return how likely codes are, and which are less so than `threshold` and stand for brain.

        Parameters
        ----------
        x
            ``(b, c, *s)``, 0 outside the brain.
        codes
            ``(b, *grid)`` int64.
        height
            As `log_likelihood`.

        Returns
        -------
        log_likelihood : Tensor
            ``(b, o, *grid)`` float32, in nats, per order.
        unlikely : Tensor
            ``(b, o, *grid)`` bool.
        """
        likelihood = self.log_likelihood(codes, height=height)
        return likelihood, (likelihood < self.threshold()) & self._in_brain(brain_of(x)).unsqueeze(1)

    def heal(self, x: Tensor, *, height: Tensor | None = None) -> Healing:
        """Draw unlikely codes anew.

        Parameters
        ----------
        x
            ``(b, c, *s)``, 0 outside the brain.
        height
            As `log_likelihood`.

        Returns
        -------
        Healing
            Codes before and after, and what was drawn.
        """
        config, codes = self.config, self.codes(x)
        likelihood, unlikely = self.unlikely(x, codes, height=height)
        rows, which, height = self._in_all_orders(codes, height)
        orders, length = self.prior.orders.shape
        generator = torch.Generator().manual_seed(SAMPLING_SEED)
        uniforms = torch.rand(orders, config.samples, length, generator=generator).to(x.device)
        own = config.judged_by == "own"
        change = unlikely if own else self._in_brain(brain_of(x)).unsqueeze(1).expand_as(unlikely)
        healed, drawn = [], []
        for some in torch.arange(len(rows), device=x.device).split(self._rows_at_a_time(x.device)):
            their = which[some]
            sequences, may_change = (self.prior.sequences(part[some], their) for part in (rows, change.flatten(0, 1)))
            given: dict[str, Any] = {"height": None if height is None else height[some], "drawing": config.drawing}
            if own:
                found = resample(self.prior, sequences, may_change, their, uniforms[their], **given)
                changed = may_change.unsqueeze(1).expand_as(found)
            else:
                found, changed = resample_unlikely(
                    self.prior, sequences, may_change, their, uniforms[their], self.threshold(), **given
                )
            healed.append(found)
            drawn.append(changed)
        each = which.repeat_interleave(config.samples)
        shape = (len(x), orders, config.samples, *config.grid)
        grids, places = (
            self.prior.grids(torch.cat(found).flatten(0, 1), each).view(shape) for found in (healed, drawn)
        )
        return Healing(codes, likelihood, places, grids)

    def reconstruct(self, x: Tensor, *, height: Tensor | None = None) -> Tensor:
        """Return what the map compares an image with: the mean healed image, or the VQ-VAE's; see `Method.reconstruct`.

        For ``map_of="likelihood"``, which compares with none, the VQ-VAE's.
        """
        if self.config.map_of != "healed":
            return super().reconstruct(x)
        return self._mean_healed(self.heal(x, height=height))[0] * brain_of(x)

    def anomaly_map(self, x: Tensor, *, height: Tensor | None = None) -> Tensor:
        """Return the map that ``map_of`` names; see this file's head and `Method.anomaly_map`."""
        kind = self.config.map_of
        if kind == "residual":
            return self.residual(x, self.codes(x))
        if kind == "likelihood":
            surprise = -self.log_likelihood(self.codes(x), height=height).mean(dim=1, keepdim=True)
            return functional.interpolate(surprise, x.shape[2:], mode=_LINEAR[x.ndim - 2]) * brain_of(x)
        if kind == "masked":
            codes = self.codes(x)
            unlikely = self.unlikely(x, codes, height=height)[1]
            return self.residual(x, codes) * self._weights(unlikely, x).mean(dim=1, keepdim=True)
        healing = self.heal(x, height=height)
        weights = self._weights(healing.unlikely.flatten(1, 2), x)
        if self.config.averaged == "images":
            return self._difference(x, *self._mean_healed(healing)) * weights.mean(dim=1, keepdim=True)
        total = torch.zeros_like(weights[:, :1])
        for number, codes in enumerate(healing.each):
            total += self.residual(x, codes) * weights[:, number : number + 1]
        return total / weights.shape[1]

    def anomaly_score(self, x: Tensor, *, height: Tensor | None = None) -> Tensor:
        """Return the score that ``score_of`` names; see `Method.anomaly_score`."""
        if self.config.score_of == "sequence":
            return self.sequence_bits(x, height=height)
        return distance(x, self.reconstruct(x, height=height))

    def sequence_bits(self, x: Tensor, *, height: Tensor | None = None) -> Tensor:
        """Return the negative log likelihood of the codes inside the brain, per code, averaged over orders.

        Parameters
        ----------
        x
            ``(b, c, *s)``, 0 outside the brain.
        height
            As `log_likelihood`.

        Returns
        -------
        Tensor
            ``(b,)`` float32, in bits per code; 0 where there is no brain.
        """
        inside = self._in_brain(brain_of(x)).flatten(1)
        bits = -self.log_likelihood(self.codes(x), height=height).mean(dim=1).flatten(1) / math.log(2)
        return (bits * inside).sum(dim=1) / inside.sum(dim=1).clamp(min=1)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load weights, as in torch.

        Parameters
        ----------
        state_dict, strict, assign
            As `torch.nn.Module.load_state_dict`.

        Returns
        -------
        NamedTuple
            As there.

        Raises
        ------
        InputError
            The prior was trained on the codes of another codebook.
        """
        codebook = state_dict.get("quantiser.codebook", self.quantiser.codebook).detach()
        learnt = state_dict.get("prior_codebook")
        if learnt is not None and learnt.any() and not torch.equal(learnt.to(codebook), codebook):
            raise InputError(
                f"the prior was trained for another codebook: expected the {len(codebook)} codes of the VQ-VAE it is "
                f"loaded with, found one trained on {len(learnt)} others: take both from one run, or train the stage "
                "'prior' again"
            )
        return super().load_state_dict(state_dict, strict=strict, assign=assign)

    def _mean_healed(self, healing: Healing) -> tuple[Tensor, Tensor | None]:
        """Return the mean over orders and samples of the healed images, and of the errors to expect; see `decode`."""
        images, scales = zip(*(self.decode(codes) for codes in healing.each), strict=True)
        mean = torch.stack(images).mean(dim=0)
        return mean, None if scales[0] is None else torch.stack(scales).mean(dim=0)

    def _count(self, likelihood: Tensor) -> None:
        """Count log likelihoods, in nats, in bins from `LEAST` to 0."""
        place = ((1 - likelihood.float() / LEAST) * BINS).long().clamp(0, BINS - 1)
        self.healthy_counts += torch.bincount(place, minlength=BINS)

    def _in_all_orders(self, codes: Tensor, height: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
        """Codes once per order, ``(b * o, *grid)``, the order of each, and its height."""
        orders = len(self.config.orderings)
        which = torch.arange(orders, device=codes.device).repeat(len(codes))
        heights = None if height is None else height.repeat_interleave(orders)
        return codes.repeat_interleave(orders, dim=0), which, heights

    def _in_brain(self, brain: Tensor) -> Tensor:
        """Which codes stand for a part of the image that holds brain, ``(b, *grid)`` bool."""
        return _MAX_POOL[brain.ndim - 2](brain.float(), self.config.grid)[:, 0] > 0

    def _weights(self, unlikely: Tensor, x: Tensor) -> Tensor:
        """Enlarge ``(b, n, *grid)`` bool to the image's size and smooth, ``(b, n, *s)``, from ``outside`` to 1."""
        enlarged = functional.interpolate(unlikely.float(), x.shape[2:], mode="nearest")
        smooth = gaussian_mean(enlarged, dims=x.ndim - 2, sigma=self.config.size_multiple / 2)
        return self.config.outside + (1 - self.config.outside) * smooth

    def _rows_at_a_time(self, device: torch.device) -> int:
        """How many sequences to draw together.

        On a CPU with ``judged_by="own"`` one: sequences drawn together wait for every place that is drawn in any of
        them, and few are. Otherwise as many as keep the samples' keys and values below `ROWS_MEMORY`.
        """
        config = self.config
        one = 2 * 4 * config.depth * config.width * math.prod(config.grid) * config.samples
        return 1 if device.type == "cpu" and config.judged_by == "own" else max(ROWS_MEMORY // one, 1)
