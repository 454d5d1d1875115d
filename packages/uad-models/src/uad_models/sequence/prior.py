"""A prior over codes: an autoregressive transformer that is told in which order it reads them.

Axes: ``r`` rows (sequences), ``n`` tokens, ``k`` codes, ``o`` orders.

Papers
------
Pinaya et al., Medical Image Analysis 2022 (https://doi.org/10.1016/j.media.2022.102475), equation 3: the likelihood of
a sequence is the product of each code's, given those before. Su et al., "RoFormer" (https://arxiv.org/abs/2104.09864):
rotary positions. The layers are the decoder of x-transformers (https://github.com/lucidrains/x-transformers).

Choices
-------
- A token that stands for "start" comes first, so that the first code has a likelihood too; the targets are the
  sequence itself, shifted once, by that token.
- Positions, any of: ``"absolute"`` (place in the sequence, learnt), ``"rotary"`` (relative, in each attention) and
  ``"spatial"`` (one learnt vector per coordinate of the code that was read and of the code to come). The last two are
  what tells one network its ordering. Pinaya trains one network per ordering: train with one name in ``orderings``.
- ``told_height`` adds what stands for the relative height of a slice in its scan to every token: a linear map of
  cosines, or a vector of its own where the height is not known. There is no condition on the sequence (T1, FLAIR ...):
  all images of a store have the same sequences, as channels, and the VQ-VAE tells these apart.
- ``attention="full"`` by PyTorch's fused kernel: memory grows with n, time with n². ``"linear"``: both grow with n, see
  `uad_models.sequence.linear_decoder`, which stands in the place of Pinaya's Performer.
"""

import math
import warnings
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax

from uad_models.sequence.linear_decoder import LinearDecoder
from uad_models.sequence.orderings import ordering
from uad_models.sequence.readers import reader_of

with warnings.catch_warnings():  # it compiles a function that is not used here in a way that torch gives up
    warnings.simplefilter("ignore", DeprecationWarning)
    from x_transformers import Decoder

Position = Literal["absolute", "rotary", "spatial"]
POSITIONS: tuple[str, ...] = get_args(Position)
Attention = Literal["full", "linear"]
_WAVES = 8  # cosines of half a period to 4 over the height of a scan
_SPREAD = 0.02  # of embeddings at the start, as common for transformers before a layer norm


class CodePrior(nn.Module):
    """Codes to the likelihood of each.

    Parameters
    ----------
    grid
        ``(h, w)`` or ``(d, h, w)``.
    codes
        Size of the codebook.
    width, depth, heads
        Of the transformer; ``width`` a multiple of ``2 * heads``.
    orderings
        Names of orders, see `uad_models.sequence.orderings`.
    positions
        Which of `POSITIONS`.
    attention
        ``"full"`` or ``"linear"``.
    told_height
        Whether likelihoods depend on the height of a slice.

    Attributes
    ----------
    orders
        ``(o, n)`` int64, the permutations.
    """

    orders: Tensor
    coordinates: Tensor

    def __init__(
        self,
        *,
        grid: tuple[int, ...],
        codes: int,
        width: int,
        depth: int,
        heads: int,
        orderings: tuple[str, ...],
        positions: tuple[str, ...] = POSITIONS,
        attention: Attention = "full",
        told_height: bool = False,
    ) -> None:
        super().__init__()
        self.grid, self.codes, self.positions = grid, codes, positions
        orders = torch.stack([ordering(name, grid) for name in orderings])
        where = torch.cartesian_prod(*(torch.arange(side) for side in grid)).reshape(-1, len(grid))
        self.register_buffer("orders", orders, persistent=False)
        self.register_buffer("coordinates", where[orders], persistent=False)
        self.decoder: nn.Module
        if attention == "linear":
            self.decoder = LinearDecoder(width=width, depth=depth, heads=heads, rotary="rotary" in positions)
        else:
            self.decoder = Decoder(
                dim=width,
                depth=depth,
                heads=heads,
                attn_dim_head=width // heads,
                attn_flash=True,
                rotary_pos_emb="rotary" in positions,
                rotary_emb_dim=width // heads,
                verbose=False,
            )
        self.token = nn.Embedding(codes + 1, width)
        self.absolute = nn.Embedding(orders.shape[1], width) if "absolute" in positions else None
        sides = grid if "spatial" in positions else ()
        self.read = nn.ModuleList(nn.Embedding(side, width) for side in sides)
        self.coming = nn.ModuleList(nn.Embedding(side, width) for side in sides)
        self.to_logits = nn.Linear(width, codes)
        self.height = nn.Linear(_WAVES, width) if told_height else None
        self.unknown_height = nn.Embedding(1, width) if told_height else None
        for module in self.modules():
            if isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=_SPREAD)

    def forward(self, sequences: Tensor, which: Tensor, height: Tensor | None = None) -> Tensor:
        """Return the logits of every code at every place, each given the codes before it.

        Without gradients the tokens pass through a `readers.Reader`, which is faster.

        Parameters
        ----------
        sequences
            ``(r, n)`` int64: codes in their order.
        which
            ``(r,)`` int64: the order of each row, an index into ``orders``.
        height
            See `place`.

        Returns
        -------
        Tensor
            ``(r, n, k)``.
        """
        read = self.token(self.shifted(sequences)) + self.place(which, height)
        if torch.is_grad_enabled():
            return self.to_logits(self.decoder(read))
        with torch.autocast(read.device.type, enabled=False):  # likelihoods are compared with a threshold
            return self.to_logits(reader_of(self.decoder, length=read.shape[1]).read(read, 0))

    def log_likelihood(self, sequences: Tensor, which: Tensor, height: Tensor | None = None) -> Tensor:
        """Return how likely each code is, given those before it.

        Parameters
        ----------
        sequences, which, height
            As `forward`.

        Returns
        -------
        Tensor
            ``(r, n)`` float32, in nats.
        """
        logits = self(sequences, which, height).float()
        return log_softmax(logits, dim=-1).gather(-1, sequences.unsqueeze(-1)).squeeze(-1)

    def shifted(self, sequences: Tensor) -> Tensor:
        """Return what is read at each place: the start token, then the codes before the last, ``(r, n)``."""
        return torch.cat([torch.full_like(sequences[:, :1], self.codes), sequences[:, :-1]], dim=1)

    def place(self, which: Tensor, height: Tensor | None = None) -> Tensor:
        """Return what is added to the token at each place of the sequence.

        Parameters
        ----------
        which
            ``(r,)`` int64.
        height
            ``(r,)`` float32 in [0, 1]: of the slice in its scan, NaN where it is not known; None is NaN for all. Not
            used without ``told_height``.

        Returns
        -------
        Tensor
            ``(r, n, width)``.
        """
        rows, length = len(which), self.orders.shape[1]
        place = self.token.weight.new_zeros(rows, length, self.token.embedding_dim)
        if self.absolute is not None:
            place = place + self.absolute.weight
        for axis, (read, coming) in enumerate(zip(self.read, self.coming, strict=True)):
            along = self.coordinates[which, :, axis]
            place = place + coming(along)
            place = place + torch.cat([torch.zeros_like(place[:, :1]), read(along[:, :-1])], dim=1)
        if self.height is None or self.unknown_height is None:
            return place
        if height is None:
            return place + self.unknown_height.weight
        waves = torch.arange(1, _WAVES + 1, device=height.device)
        known = self.height((math.pi * height.nan_to_num().unsqueeze(1) * waves).cos())
        told = torch.where(height.isnan().unsqueeze(1), self.unknown_height.weight, known)
        return place + told.unsqueeze(1)

    def sequences(self, codes: Tensor, which: Tensor) -> Tensor:
        """Return codes in their order.

        Parameters
        ----------
        codes
            ``(r, *grid)``, of any type.
        which
            ``(r,)`` int64.

        Returns
        -------
        Tensor
            ``(r, n)``.
        """
        return codes.flatten(1).gather(1, self.orders[which])

    def grids(self, sequences: Tensor, which: Tensor) -> Tensor:
        """Return sequences as grids; the inverse of `sequences`.

        Parameters
        ----------
        sequences
            ``(r, n)``, of any type.
        which
            ``(r,)`` int64.

        Returns
        -------
        Tensor
            ``(r, *grid)``.
        """
        return torch.empty_like(sequences).scatter_(1, self.orders[which], sequences).view(-1, *self.grid)
