"""What goes through sequences piece by piece and remembers what it read: of a prior of either attention.

Axes: ``r`` rows (sequences), ``n`` tokens.
"""

from dataclasses import fields
from typing import Protocol

import torch
from torch import Tensor, nn

from uad_models.sequence.cached_decoder import CachedDecoder, layers_of
from uad_models.sequence.layers import Layer, Passes, compiled_passes, finish, project
from uad_models.sequence.linear_decoder import LinearDecoder, SummingDecoder


class Reader(Protocol):
    """A decoder that remembers the tokens that have passed."""

    def read(self, x: Tensor, at: int | Tensor, *, last: bool = False) -> Tensor:
        """Pass the next tokens of every row.

        Parameters
        ----------
        x
            ``(r, n, width)``: embedded tokens.
        at
            The place of the first of them: one number, or ``(r,)`` int64, one of each row's own. What a row read
            before that place is remembered, and what it read from there on is forgotten.
        last
            Whether only what is behind the last token is wanted.

        Returns
        -------
        Tensor
            ``(r, n, width)``, or ``(r, 1, width)`` of the last.
        """
        ...

    def remember(self, counts: Tensor | None = None) -> None:
        """Keep the first tokens of the last pass for those that follow.

        Parameters
        ----------
        counts
            ``(r,)`` int64: how many of each row; None for all.
        """
        ...

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows; a row may be named several times, for its samples.

        Parameters
        ----------
        rows
            ``(r,)`` int64.
        """
        ...


def reader_of(decoder: nn.Module, *, length: int, dtype: torch.dtype = torch.float32, compiled: bool = False) -> Reader:
    """Return a reader with a decoder's weights.

    Parameters
    ----------
    decoder
        Of a prior: x-transformers' ``Decoder``, or a `LinearDecoder`.
    length
        Tokens that it is going to read at most.
    dtype
        Number format of matrix products, and of keys and values that are kept.
    compiled
        Compile the halves of a layer.

    Returns
    -------
    Reader
        That has read nothing yet.

    Raises
    ------
    InputError
        No compiler works here, and one is asked for.
    """
    passes = compiled_passes() if compiled else Passes(project, finish)
    if isinstance(decoder, LinearDecoder):
        return SummingDecoder(decoder, _in_format(decoder.layers(), dtype), passes)
    return CachedDecoder(decoder, _in_format(layers_of(decoder), dtype), passes, length=length)


def _in_format(layers: list[Layer], dtype: torch.dtype) -> list[Layer]:
    """Return weights in another number format; those of layer norms stay."""

    def converted(layer: Layer) -> dict[str, Tensor]:
        weights = {each.name: getattr(layer, each.name) for each in fields(Layer)}
        return {name: value if name.endswith("norm") else value.to(dtype) for name, value in weights.items()}

    return [Layer(**converted(layer)) for layer in layers]
