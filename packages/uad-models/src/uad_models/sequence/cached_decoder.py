"""A decoder with full attention that remembers keys and values: a token passes the network once.

The passes use the weights of x-transformers' decoder and compute what it does, with the projections to queries, keys
and values fused.

Axes: ``r`` rows (sequences), ``n`` tokens, ``a`` heads, ``e`` entries of a head.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, scaled_dot_product_attention

from uad_models.sequence.layers import Layer, Passes, rotary_turns, turned


class CachedDecoder:
    """A decoder of x-transformers with a static key/value cache; a `readers.Reader`.

    Parameters
    ----------
    decoder
        x-transformers' ``Decoder``.
    layers
        Its layers' weights, see `layers_of`, in the number format to compute in.
    passes
        The halves of a layer.
    length
        Tokens that the cache has room for.
    """

    def __init__(self, decoder: Any, layers: list[Layer], passes: Passes, *, length: int) -> None:
        self.layers, self.passes, self.length = layers, passes, length
        self.last_norm, self.heads = gain(decoder.final_norm), decoder.layers[0][1].heads
        self.turns: Tensor | None = None
        if decoder.rotary_pos_emb is not None:
            places = torch.arange(length, device=self.last_norm.device)
            self.turns = rotary_turns(places, 2 * len(decoder.rotary_pos_emb.inv_freq))
        self.cache = torch.empty(0)

    def read(self, x: Tensor, at: int | Tensor, *, last: bool = False) -> Tensor:
        """Pass tokens; see `readers.Reader.read`."""
        rows, tokens, width = x.shape
        if not self.cache.numel():
            shape = (len(self.layers), 2, rows, self.heads, self.length, width // self.heads)
            # Of zeros: where a row has not read, another may, and what is masked must be a number.
            self.cache = torch.zeros(shape, dtype=self.layers[0].to_qkv.dtype, device=x.device)
        places = torch.arange(tokens, device=x.device) + (at if isinstance(at, int) else at.unsqueeze(1))
        stop = at + tokens if isinstance(at, int) else int(at.max()) + tokens
        turns = self._turns(places)
        where, seen = None, None
        if places.ndim == 2:
            where = places[:, None, :, None].expand(-1, self.heads, -1, width // self.heads)
            seen = torch.arange(stop, device=x.device) <= places[:, None, :, None]
        elif tokens not in (1, stop):
            seen = torch.ones(tokens, stop, dtype=torch.bool, device=x.device).tril(stop - tokens)
        for layer, (keys, values) in zip(self.layers, self.cache, strict=True):
            query, key, value = self.passes.project(x, layer, self.heads)
            query, key = turned(query, turns), turned(key, turns)
            if where is None:
                keys[:, :, stop - tokens : stop], values[:, :, stop - tokens : stop] = key, value
            else:
                keys.scatter_(2, where, key)
                values.scatter_(2, where, value)
            mask = seen
            if last and layer is self.layers[-1]:
                query, x, mask = query[:, :, -1:], x[:, -1:], None if seen is None else seen[..., -1:, :]
            attended = scaled_dot_product_attention(
                query,
                keys[:, :, :stop],
                values[:, :, :stop],
                attn_mask=mask,
                is_causal=mask is None and query.shape[2] > 1,
            )
            x = self.passes.finish(x, attended, layer)
        return layer_norm(x, (width,), self.last_norm)

    def remember(self, counts: Tensor | None = None) -> None:
        """Do nothing: what was read lies in the cache, and what is read anew is written over it."""

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows; see `readers.Reader.keep`."""
        self.cache = self.cache[:, :, rows]

    def _turns(self, places: Tensor) -> Tensor | None:
        """Return the turns at places, ``(n,)`` or ``(r, n)``, for tensors ``(r, a, n, e)``."""
        if self.turns is None:
            return None
        turns = self.turns[places]
        return turns if places.ndim == 1 else turns.unsqueeze(1)


def layers_of(decoder: Any) -> list[Layer]:
    """Return the weights of an x-transformers decoder of attention and feed-forward layers in turn.

    Parameters
    ----------
    decoder
        x-transformers' ``Decoder``.

    Returns
    -------
    list of Layer
        In order.
    """
    blocks = [(gain(norms[0]), block) for norms, block, _ in decoder.layers]
    found = []
    for (attention_norm, attention), (feed_norm, feed) in zip(blocks[::2], blocks[1::2], strict=True):
        widen, narrow = (part for part in feed.modules() if isinstance(part, nn.Linear))
        found.append(
            Layer(
                attention_norm=attention_norm,
                to_qkv=torch.cat([attention.to_q.weight, attention.to_k.weight, attention.to_v.weight]),
                to_out=_projection(attention.to_out, attention_norm),
                feed_norm=feed_norm,
                widen=widen.weight,
                widen_bias=widen.bias,
                narrow=narrow.weight,
                narrow_bias=narrow.bias,
            )
        )
    return found


def gain(norm: Any) -> Tensor:
    """Return the weight of an x-transformers layer norm, which is stored less an offset.

    Parameters
    ----------
    norm
        x-transformers' ``LayerNorm``.

    Returns
    -------
    Tensor
        ``(width,)``.
    """
    return norm.gamma + float(norm.unit_offset)


def _projection(layer: nn.Module, norm: Tensor) -> Tensor:
    """Return the weight behind the heads, which x-transformers leaves out for one head, which has the full width."""
    return layer.weight if isinstance(layer, nn.Linear) else torch.eye(len(norm), device=norm.device)
