"""One layer of a decoder, as functions of its weights: what comes before attention and what comes behind it.

Training, likelihood and sampling share them; they differ in how tokens attend. Matrix products are done in the number
format of the weights, layer norms and what a layer adds to in float32.

Axes: ``r`` rows, ``n`` tokens, ``a`` heads, ``e`` entries of a head.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import gelu, layer_norm, linear

from uad_data.errors import InputError


@dataclass(frozen=True)
class Layer:
    """Weights of one attention and one feed-forward layer, both behind a layer norm.

    Parameters
    ----------
    attention_norm, feed_norm
        ``(width,)``: gains of the layer norms.
    to_qkv
        ``(3 * width, width)``: queries, keys, values.
    to_out
        ``(width, width)``: behind the heads.
    widen, widen_bias, narrow, narrow_bias
        Of the feed-forward layer.
    """

    attention_norm: Tensor
    to_qkv: Tensor
    to_out: Tensor
    feed_norm: Tensor
    widen: Tensor
    widen_bias: Tensor
    narrow: Tensor
    narrow_bias: Tensor


@dataclass(frozen=True)
class Passes:
    """The two halves of a layer, as they are or compiled.

    Parameters
    ----------
    project
        See `project`.
    finish
        See `finish`.
    """

    project: Callable[[Tensor, Layer, int], tuple[Tensor, Tensor, Tensor]]
    finish: Callable[[Tensor, Tensor, Layer], Tensor]


def project(x: Tensor, layer: Layer, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return queries, keys and values.

    Parameters
    ----------
    x
        ``(r, n, width)``.
    layer
        Its weights.
    heads
        Of the attention.

    Returns
    -------
    tuple of Tensor
        Three of ``(r, a, n, e)``.
    """
    return _project(x, layer.attention_norm, layer.to_qkv, heads)


def finish(x: Tensor, attended: Tensor, layer: Layer) -> Tensor:
    """Add what was attended to, then what the feed-forward layer makes of it.

    Parameters
    ----------
    x
        ``(r, n, width)``.
    attended
        ``(r, a, n, e)``.
    layer
        Its weights.

    Returns
    -------
    Tensor
        ``(r, n, width)``.
    """
    return _finish(x, attended, *_behind(layer))


@lru_cache(maxsize=1)
def compiled_passes() -> Passes:
    """Return `project` and `finish` compiled by `torch.compile`, for any number of rows and tokens.

    Returns
    -------
    Passes
        Made once per process; the first passes are slow, because they compile.

    Raises
    ------
    InputError
        There is no compiler that works here.
    """
    options: dict[str, Any] = {"dynamic": True, "fullgraph": True}
    try:
        torch.compile(torch.neg, **options)(torch.zeros(2))
    except Exception as error:  # torch raises many kinds, by what is missing
        reason = str(error).strip().split("\n")[0]
        raise InputError(
            f"compiled=True: expected a compiler that torch.compile can use, found none that works ({reason}): install "
            "a C++ compiler (g++, clang or MSVC; on GPUs Triton), or leave compiled=False"
        ) from error
    first, second = torch.compile(_project, **options), torch.compile(_finish, **options)
    return Passes(
        project=lambda x, layer, heads: first(x, layer.attention_norm, layer.to_qkv, heads),
        finish=lambda x, attended, layer: second(x, attended, *_behind(layer)),
    )


def turned(x: Tensor, turns: Tensor | None) -> Tensor:
    """Turn pairs of entries by rotary angles.

    Parameters
    ----------
    x
        ``(r, a, n, e)``.
    turns
        Of `rotary_turns`, ``(n, e / 2)`` or ``(r, 1, n, e / 2)``; None turns nothing.

    Returns
    -------
    Tensor
        ``(r, a, n, e)``, of the type of ``x``.
    """
    if turns is None:
        return x
    pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * turns).flatten(-2).to(x.dtype)


def rotary_turns(places: Tensor, entries: int) -> Tensor:
    """Return the turns of rotary positions, Su et al., equation 15, as complex numbers of length 1.

    Parameters
    ----------
    places
        Of any shape: places in the sequence, from 0.
    entries
        Of a head, even.

    Returns
    -------
    Tensor
        ``(*places, entries / 2)`` complex64.
    """
    steps = torch.arange(0, entries, 2, device=places.device).float() / entries
    angles = places.unsqueeze(-1).float() * 10_000.0**-steps
    return torch.polar(torch.ones_like(angles), angles)


def _project(x: Tensor, norm: Tensor, to_qkv: Tensor, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """`project` of plain tensors."""
    rows, tokens, width = x.shape
    normal = layer_norm(x, (width,), norm).to(to_qkv.dtype)
    query, key, value = linear(normal, to_qkv).view(rows, tokens, 3, heads, -1).permute(2, 0, 3, 1, 4)
    return query, key, value


def _finish(
    x: Tensor,
    attended: Tensor,
    to_out: Tensor,
    norm: Tensor,
    widen: Tensor,
    widen_bias: Tensor,
    narrow: Tensor,
    narrow_bias: Tensor,
) -> Tensor:
    """`finish` of plain tensors."""
    x = x + linear(attended.transpose(1, 2).flatten(2).to(to_out.dtype), to_out)
    normal = layer_norm(x, (x.shape[-1],), norm).to(widen.dtype)
    return x + linear(gelu(linear(normal, widen, widen_bias)), narrow, narrow_bias)


def _behind(layer: Layer) -> tuple[Tensor, ...]:
    """Weights of what comes behind the heads."""
    return layer.to_out, layer.feed_norm, layer.widen, layer.widen_bias, layer.narrow, layer.narrow_bias
