"""Vector quantisation: each vector is replaced by the nearest of a learnt codebook.

Axes: ``b`` batch, ``*g`` the grid of vectors, ``k`` codes, ``v`` the vectors of a batch, ``e`` entries of a vector.

Papers
------
van den Oord, Vinyals, Kavukcuoglu, "Neural discrete representation learning", NeurIPS 2017
(https://arxiv.org/abs/1711.00937): equation 3, straight-through gradients and the codebook and commitment terms
(``update="gradient"``); appendix A.1, equations 6 to 8, moving averages (``update="average"``).

Razavi, van den Oord, Vinyals, "Generating diverse high-fidelity images with VQ-VAE-2", NeurIPS 2019
(https://arxiv.org/abs/1906.00446): decay 0.99, commitment 0.25.

Yu et al., "Vector-quantized image modeling with improved VQGAN", ICLR 2022 (https://arxiv.org/abs/2110.04627),
section 3.2: vectors and codes of length 1 (``distance="cosine"``).

Łańcucki et al., "Robust training of vector quantized bottleneck models", IJCNN 2020
(https://arxiv.org/abs/2005.08520): the codebook starts from data, and codes that die are placed again.

Choices
-------
- The codebook starts at random vectors of the first training batch. Moving counts start at what every code would have
  if all were used alike, and moving sums at that many times the code, so that an unused code stays where it is. (A
  count that starts at 0 beside such a sum would throw it far away.)
- Vectors are standardised before they are quantised, each entry over the batch in training (Łańcucki, section 3), by
  running mean and variance elsewhere: the codebook need not follow their scale. Only `Quantiser.forward` in training
  mode looks at a batch as a whole.
- A code is dead when its moving count is below ``revive_below`` of that share; it is placed at a random vector of the
  batch. This holds for both kinds of update.
- With several processes counts and sums are added up over all of them; initial and revived codes are the first one's,
  whose buffers `DistributedDataParallel` hands to the others.
"""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.distributed
from torch import Tensor, nn
from torch.nn.functional import embedding, mse_loss, normalize

Update = Literal["average", "gradient"]
Distance = Literal["euclidean", "cosine"]
_STATISTICS_RATE = 0.1  # of running mean and variance, per training batch


@dataclass(frozen=True)
class Quantised:
    """What quantisation gives.

    Parameters
    ----------
    vectors
        ``(b, e, *g)``: the nearest codes; the gradient passes straight through to the input.
    codes
        ``(b, *g)`` int64: their numbers.
    loss
        Scalar: commitment, and the codebook's own term where it learns by gradient.
    perplexity
        Scalar: 2 to the entropy, in bits, of how often each code is used in this batch; at most the number of codes.
    in_use
        Scalar in [0, 1]: share of the codebook that this batch uses.
    """

    vectors: Tensor
    codes: Tensor
    loss: Tensor
    perplexity: Tensor
    in_use: Tensor


class Quantiser(nn.Module):
    """A codebook.

    Parameters
    ----------
    codes
        How many.
    code_dim
        Length of each.
    update
        ``"average"``: codes are moving averages of the vectors they stand for; ``"gradient"``: they are parameters.
    distance
        ``"euclidean"``, or ``"cosine"``: vectors and codes have length 1.
    decay
        Of the moving averages, per training batch.
    commitment
        Weight of the term that draws vectors to their codes.
    revive_below
        Share of the average use below which a code is dead; 0 revives none.
    """

    codebook: Tensor
    counts: Tensor
    sums: Tensor
    mean: Tensor
    variance: Tensor
    started: Tensor

    def __init__(
        self,
        *,
        codes: int,
        code_dim: int,
        update: Update = "average",
        distance: Distance = "euclidean",
        decay: float = 0.99,
        commitment: float = 0.25,
        revive_below: float = 0.03,
    ) -> None:
        super().__init__()
        self.update, self.distance = update, distance
        self.decay, self.commitment, self.revive_below = decay, commitment, revive_below
        book = self._unit(torch.randn(codes, code_dim))
        if update == "gradient":
            self.codebook = nn.Parameter(book)
        else:
            self.register_buffer("codebook", book)
        self.register_buffer("counts", torch.ones(codes))
        self.register_buffer("sums", book.clone())
        self.register_buffer("mean", torch.zeros(code_dim))
        self.register_buffer("variance", torch.ones(code_dim))
        self.register_buffer("started", torch.zeros((), dtype=torch.bool))

    def forward(self, x: Tensor, *, generator: torch.Generator | None = None) -> Quantised:
        """Quantise vectors; in training mode the codebook starts, follows and is revived.

        Parameters
        ----------
        x
            ``(b, e, *g)``.
        generator
            Source of the vectors that codes start at or are revived at.

        Returns
        -------
        Quantised
            All float32 but the codes.
        """
        with torch.autocast(x.device.type, enabled=False):
            vectors = self._unit(self._standardised(x.float().movedim(1, -1), by_batch=self.training))
            flat = vectors.detach().flatten(0, -2)
            if self.training:
                self._start(flat, generator)
            codes = self._nearest(flat)
            chosen = self.lookup(codes).view_as(vectors)
            loss = self.commitment * mse_loss(vectors, chosen.detach())
            if self.update == "gradient":
                loss = loss + mse_loss(chosen, vectors.detach())
            used = torch.bincount(codes, minlength=len(self.codebook)).float()
            if self.training:
                self._follow(flat, codes, used, generator)
            share = used / used.sum()
            straight = vectors + (chosen - vectors).detach()
            return Quantised(
                vectors=straight.movedim(-1, 1),
                codes=codes.view(vectors.shape[:-1]),
                loss=loss,
                perplexity=torch.exp(-torch.xlogy(share, share).sum()),
                in_use=(used > 0).float().mean(),
            )

    def nearest(self, x: Tensor) -> Tensor:
        """Return the codes of vectors, the same in training mode and not.

        Parameters
        ----------
        x
            ``(b, e, *g)``.

        Returns
        -------
        Tensor
            ``(b, *g)`` int64.
        """
        with torch.autocast(x.device.type, enabled=False):
            vectors = self._unit(self._standardised(x.float().movedim(1, -1), by_batch=False))
            return self._nearest(vectors.flatten(0, -2)).view(vectors.shape[:-1])

    def lookup(self, codes: Tensor) -> Tensor:
        """Return the vectors of codes.

        Parameters
        ----------
        codes
            Any shape, int64.

        Returns
        -------
        Tensor
            The same shape and one more axis, ``e``.
        """
        return self._unit(embedding(codes, self.codebook))

    def _nearest(self, flat: Tensor) -> Tensor:
        """Codes ``(v,)`` of prepared vectors ``(v, e)``."""
        book = self._unit(self.codebook).detach()
        # |x - c|² without |x|², which is the same for every code.
        return torch.addmm(book.square().sum(dim=1), flat, book.T, alpha=-2).argmin(dim=1)

    def _standardised(self, vectors: Tensor, *, by_batch: bool) -> Tensor:
        """Vectors ``(..., e)`` less their mean, over their spread; a batch's own moves the running ones."""
        mean, variance = self.mean, self.variance
        if by_batch:
            variance, mean = torch.var_mean(vectors.flatten(0, -2), dim=0, correction=0)
            self.mean.lerp_(mean.detach(), _STATISTICS_RATE)
            self.variance.lerp_(variance.detach(), _STATISTICS_RATE)
        return (vectors - mean) * torch.rsqrt(variance + 1e-5)

    def _unit(self, vectors: Tensor) -> Tensor:
        """Scale vectors to length 1 where the distance asks for it."""
        return normalize(vectors, dim=-1) if self.distance == "cosine" else vectors

    @torch.no_grad()
    def _start(self, flat: Tensor, generator: torch.Generator | None) -> None:
        """Place all codes at vectors of the first batch; later batches change nothing."""
        drawn = self._draw(flat, generator)
        share = len(flat) / len(self.codebook)
        self.codebook.copy_(torch.where(self.started, self.codebook, drawn))
        self.counts.copy_(torch.where(self.started, self.counts, share))
        self.sums.copy_(torch.where(self.started, self.sums, share * drawn))
        self.started.fill_(True)

    @torch.no_grad()
    def _follow(self, flat: Tensor, codes: Tensor, used: Tensor, generator: torch.Generator | None) -> None:
        """Move counts, sums and, unless it learns by gradient, the codebook; place dead codes anew."""
        sums = torch.zeros_like(self.sums).index_add_(0, codes, flat)
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.all_reduce(used)
            torch.distributed.all_reduce(sums)
        self.counts.lerp_(used, 1 - self.decay)
        self.sums.lerp_(sums, 1 - self.decay)
        if self.update == "average":
            self.codebook.copy_(self._unit(self.sums / self.counts.clamp(min=1e-6).unsqueeze(1)))
        share = used.sum() / len(self.codebook)
        dead = self.counts < self.revive_below * share
        drawn = self._draw(flat, generator)
        self.codebook.copy_(torch.where(dead.unsqueeze(1), drawn, self.codebook))
        self.counts.copy_(torch.where(dead, share, self.counts))
        self.sums.copy_(torch.where(dead.unsqueeze(1), share * drawn, self.sums))

    def _draw(self, flat: Tensor, generator: torch.Generator | None) -> Tensor:
        """Draw a vector of the batch for every code, ``(k, e)``."""
        picked = torch.randint(len(flat), (len(self.codebook),), generator=generator, device=flat.device)
        return flat[picked]
