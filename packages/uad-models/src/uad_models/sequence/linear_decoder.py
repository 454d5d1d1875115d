"""A decoder with linear attention: time and memory grow with the length of a sequence, not with its square.

Axes: ``r`` rows (sequences), ``n`` tokens, ``a`` heads, ``e`` entries of a head, ``f`` entries of a value.

Papers
------
Katharopoulos et al., "Transformers are RNNs: fast autoregressive transformers with linear attention", ICML 2020
(https://arxiv.org/abs/2006.16236): the feature map ``elu(x) + 1`` (equation 7) and causal attention (equations 9 to 12)
by a state that each token adds to, here the sums of ``feature(key) value`` and of ``feature(key)``. Su et al.,
"RoFormer" (https://arxiv.org/abs/2104.09864), equation 19: rotary positions turn features in the numerator alone.

Choices
-------
- Pinaya et al. use the Performer (https://arxiv.org/abs/2009.14794), whose features are random and approximate softmax.
  These are fixed, so that a likelihood is one number and a run resumes exactly; they do not approximate softmax, and a
  prior that was trained with full attention cannot be read with this one.
- Likelihood and training go through whole sequences in chunks of `CHUNK`: within a chunk every token attends to every
  earlier one, across chunks to the sums. Sampling hands the sums from pass to pass. Both are the same numbers up to
  rounding. x-transformers, at the version that this is tested with, has no linear attention.
- Attention is in float32 under autocast too: the sums run over thousands of tokens.
"""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn.functional import elu, layer_norm, pad

from uad_models.sequence.layers import Layer, Passes, finish, project, rotary_turns, turned

CHUNK = 64  # tokens


@dataclass(frozen=True)
class Sums:
    """What earlier tokens leave to later ones, in one layer.

    Parameters
    ----------
    pairs
        ``(r, a, e, f)`` float32: sum of feature of key times value.
    keys
        ``(r, a, e)`` float32: sum of features of keys.
    """

    pairs: Tensor
    keys: Tensor

    @classmethod
    def empty(cls, value: Tensor) -> Self:
        """Return the sums of no token, for values ``(r, a, n, e)``."""
        rows, heads, _, entries = value.shape
        made = torch.zeros(rows, heads, entries, entries, device=value.device)
        return cls(made, made[..., 0])

    def add(self, turned_keys: Tensor, keys: Tensor, values: Tensor) -> "Sums":
        """Return the sums with more tokens: features of keys, turned and not, and values, each ``(r, a, n, e)``."""
        return Sums(self.pairs + turned_keys.transpose(-1, -2) @ values, self.keys + keys.sum(dim=2))

    def rows(self, index: Tensor) -> "Sums":
        """Return those of some rows, ``(r,)`` int64."""
        return Sums(self.pairs[index], self.keys[index])


@dataclass(frozen=True)
class Features:
    """Queries, keys and values of one pass through one layer, each ``(r, a, n, e)`` float32.

    Parameters
    ----------
    query, key
        Features, not turned.
    turned_query, turned_key
        The same, turned by rotary angles.
    value
        As projected.
    """

    query: Tensor
    key: Tensor
    turned_query: Tensor
    turned_key: Tensor
    value: Tensor

    @classmethod
    def of(cls, projected: tuple[Tensor, Tensor, Tensor], turns: Tensor | None) -> Self:
        """Return the features of what `project` gives."""
        query, key, value = (each.float() for each in projected)
        query, key = elu(query) + 1, elu(key) + 1
        return cls(query, key, turned(query, turns), turned(key, turns), value)

    def attend(self, before: Sums) -> Tensor:
        """Let every token attend to itself, to those before it in this pass, and to what was summed up before.

        Parameters
        ----------
        before
            Of the tokens before this pass.

        Returns
        -------
        Tensor
            ``(r, a, n, e)``.
        """
        tokens = self.value.shape[2]
        share = (self.query * (before.keys.unsqueeze(2) + self.key.cumsum(dim=2))).sum(dim=-1, keepdim=True)
        query, key, value = (_chunks(each) for each in (self.turned_query, self.turned_key, self.value))
        sums = key.transpose(-1, -2) @ value
        earlier = sums.cumsum(dim=2) - sums + before.pairs.unsqueeze(2)
        within = (query @ key.transpose(-1, -2)).tril() @ value
        return (within + query @ earlier).flatten(2, 3)[:, :, :tokens] / share


def _chunks(x: Tensor) -> Tensor:
    """Cut ``(r, a, n, e)`` into chunks, ``(r, a, chunks, tokens, e)``, the last filled up with 0."""
    tokens = x.shape[2]
    size = min(CHUNK, tokens)
    return pad(x, (0, 0, 0, -tokens % size)).unflatten(2, (-1, size))


class _Block(nn.Module):
    """The weights of a `Layer`, learnt."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attention_norm, self.feed_norm = (nn.Parameter(torch.ones(width)) for _ in range(2))
        self.to_qkv, self.to_out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def layer(self) -> Layer:
        """Return the weights."""
        return Layer(
            attention_norm=self.attention_norm,
            to_qkv=self.to_qkv.weight,
            to_out=self.to_out.weight,
            feed_norm=self.feed_norm,
            widen=self.widen.weight,
            widen_bias=self.widen.bias,
            narrow=self.narrow.weight,
            narrow_bias=self.narrow.bias,
        )


class LinearDecoder(nn.Module):
    """Layers of linear attention and feed-forward, with a layer norm before each and one behind all.

    Parameters
    ----------
    width, depth, heads
        ``width`` a multiple of ``2 * heads``.
    rotary
        Turn features by rotary angles.
    """

    def __init__(self, *, width: int, depth: int, heads: int, rotary: bool) -> None:
        super().__init__()
        self.heads, self.rotary = heads, rotary
        self.blocks = nn.ModuleList(_Block(width) for _ in range(depth))
        self.last_norm = nn.Parameter(torch.ones(width))

    def layers(self) -> list[Layer]:
        """Return the weights of all layers, in order."""
        return [block.layer() for block in self.blocks if isinstance(block, _Block)]

    def forward(self, x: Tensor) -> Tensor:
        """Pass whole sequences.

        Parameters
        ----------
        x
            ``(r, n, width)``.

        Returns
        -------
        Tensor
            ``(r, n, width)``.
        """
        turns = self.turns(torch.arange(x.shape[1], device=x.device), x.shape[2])
        for layer in self.layers():
            projected = project(x, layer, self.heads)
            with torch.autocast(x.device.type, enabled=False):
                attended = Features.of(projected, turns).attend(Sums.empty(projected[2]))
            x = finish(x, attended, layer)
        return layer_norm(x, x.shape[-1:], self.last_norm)

    def turns(self, places: Tensor, width: int) -> Tensor | None:
        """Return the turns at places of the sequence, ``(n,)`` or ``(r, 1, n)``; None without rotary ones."""
        return rotary_turns(places, width // self.heads) if self.rotary else None


class SummingDecoder:
    """A `LinearDecoder` that goes through sequences in pieces and hands their sums on; a `readers.Reader`.

    Parameters
    ----------
    decoder
        Its weights.
    layers
        Its layers' weights, in the number format to compute in.
    passes
        The halves of a layer.
    """

    def __init__(self, decoder: LinearDecoder, layers: list[Layer], passes: Passes) -> None:
        self.decoder, self.layers, self.passes = decoder, layers, passes
        self.sums: list[Sums] = []
        self.pending: list[Features] = []

    def read(self, x: Tensor, at: int | Tensor, *, last: bool = False) -> Tensor:
        """Pass tokens; see `readers.Reader.read`."""
        places = torch.arange(x.shape[1], device=x.device)
        places = places + (at if isinstance(at, int) else at.view(-1, 1, 1))
        turns, self.pending = self.decoder.turns(places, x.shape[2]), []
        for number, layer in enumerate(self.layers):
            features = Features.of(self.passes.project(x, layer, self.decoder.heads), turns)
            if len(self.sums) == number:
                self.sums.append(Sums.empty(features.value))
            x = self.passes.finish(x, features.attend(self.sums[number]), layer)
            self.pending.append(features)
        return layer_norm(x[:, -1:] if last else x, x.shape[-1:], self.decoder.last_norm)

    def remember(self, counts: Tensor | None = None) -> None:
        """Keep the first tokens of the last pass; see `readers.Reader.remember`."""
        for number, each in enumerate(self.pending):
            turned_key, key = each.turned_key, each.key
            if counts is not None:
                tokens = torch.arange(key.shape[2], device=counts.device)
                kept = (tokens < counts.unsqueeze(1))[:, None, :, None]
                turned_key, key = turned_key * kept, key * kept
            self.sums[number] = self.sums[number].add(turned_key, key, each.value)
        self.pending = []

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows; see `readers.Reader.keep`."""
        self.sums = [each.rows(rows) for each in self.sums]
