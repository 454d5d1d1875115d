"""Fast sampling from a prior over codes: what is kept is read in one piece, only what changes is drawn one by one.

Axes: ``g`` sequences, ``m`` samples of each, ``r`` rows (``g * m``), ``n`` tokens, ``k`` codes, ``a`` heads, ``e``
entries of a head.

The plain loop passes all tokens before a place through the network to draw the code at that place. Here

- keys and values of all tokens lie in one tensor that is made once (static key/value cache), so that a token passes the
  network once;
- a run of tokens that are not drawn passes together with the drawn one before it, so that there are as many passes as
  places drawn in any row;
- what lies before the first drawn place is the same for all samples of a sequence and passes once for all of them;
- behind the last drawn place nothing passes;
- in the last layer only the token that the next draw depends on goes further than its keys and values.

The passes use the weights of x-transformers' decoder and compute what it does, in float32, with the projections to
queries, keys and values fused. A draw inverts the cumulated probabilities at a uniform number given by the caller, so
that the result is a function of sequences and numbers: the same as the plain loop's, token for token.
"""

import itertools
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, layer_norm, linear, scaled_dot_product_attention

from uad_models.sequence.prior import CodePrior


@torch.no_grad()
def resample(
    prior: CodePrior,
    sequences: Tensor,
    change: Tensor,
    which: Tensor,
    uniforms: Tensor,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
) -> Tensor:
    """Draw some codes of sequences anew, each given all codes before it, kept or drawn.

    Parameters
    ----------
    prior
        Of the codes.
    sequences
        ``(g, n)`` int64: codes in their order.
    change
        ``(g, n)`` bool: which to draw; all True samples from scratch.
    which
        ``(g,)`` int64: the order of each sequence.
    uniforms
        ``(g, m, n)`` in [0, 1): the number that decides each draw.
    temperature
        Positive; below 1 prefers likely codes.
    top_k
        Draw among so many of the likeliest codes; None among all.

    Returns
    -------
    Tensor
        ``(g, m, n)`` int64.
    """
    samples = uniforms.shape[1]
    rows = sequences.repeat_interleave(samples, dim=0)
    drawn_places = change.any(dim=0).nonzero().flatten().tolist()
    if not drawn_places:
        return rows.view(uniforms.shape)
    with torch.autocast(sequences.device.type, enabled=False):
        network = _CachedDecoder(prior, length=drawn_places[-1] + 1)
        places = prior.place(which)
        first = drawn_places[0] + 1
        read = prior.token(prior.shifted(sequences[:, :first])) + places[:, :first]
        logits = network(read).repeat_interleave(samples, dim=0)
        network.repeat(samples)
        places, change = (each.repeat_interleave(samples, dim=0) for each in (places, change))
        numbers = uniforms.reshape(rows.shape)
        for place, following in itertools.pairwise([*drawn_places, None]):
            code = draw(logits, numbers[:, place], temperature=temperature, top_k=top_k)
            rows[:, place] = torch.where(change[:, place], code, rows[:, place])
            if following is not None:
                read = prior.token(rows[:, place:following]) + places[:, place + 1 : following + 1]
                logits = network(read)
    return rows.view(uniforms.shape)


@torch.no_grad()
def resample_unlikely(
    prior: CodePrior,
    sequences: Tensor,
    may_change: Tensor,
    which: Tensor,
    uniforms: Tensor,
    threshold: Tensor,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Draw codes anew that are unlikely given all codes before them, kept or drawn.

    A code is judged by what was made of those before it, so that a lesion's first codes, once drawn anew, no longer
    make its other codes likely.

    Parameters
    ----------
    prior
        Of the codes.
    sequences
        ``(g, n)`` int64: codes in their order.
    may_change
        ``(g, n)`` bool: which may be drawn.
    which
        ``(g,)`` int64: the order of each sequence.
    uniforms
        ``(g, m, n)`` in [0, 1): the number that decides each draw.
    threshold
        Scalar, in nats: codes of a lower log likelihood are unlikely.
    temperature, top_k
        As `resample`.

    Returns
    -------
    codes : Tensor
        ``(g, m, n)`` int64.
    drawn : Tensor
        ``(g, m, n)`` bool: which were unlikely.

    Notes
    -----
    All places of a sequence pass together; the first that is unlikely is drawn, and the sequence passes again. There
    are as many passes as places drawn in one sequence, and one more; a sequence that is done passes no more.
    """
    g, m, n = uniforms.shape
    rows = sequences.repeat_interleave(m, dim=0)
    drawn = torch.zeros_like(rows, dtype=torch.bool)
    orders, allowed = which.repeat_interleave(m), may_change.repeat_interleave(m, dim=0)
    numbers, places = uniforms.flatten(0, 1), torch.arange(n, device=rows.device)
    with torch.autocast(sequences.device.type, enabled=False):
        logits, below = _judged(prior, sequences, which, threshold)
        # Until its first draw a sequence is the same in all samples.
        active = (below & may_change).any(dim=1).repeat_interleave(m).nonzero().flatten()
        logits, below = logits[active // m], (below & may_change)[active // m]
        while len(active):
            place = below.to(torch.uint8).argmax(dim=1)
            here = logits[torch.arange(len(active), device=rows.device), place]
            rows[active, place] = draw(here, numbers[active, place], temperature=temperature, top_k=top_k)
            drawn[active, place] = True
            logits, below = _judged(prior, rows[active], orders[active], threshold)
            below = below & allowed[active] & (places > place.unsqueeze(1))
            going = below.any(dim=1)
            active, below, logits = active[going], below[going], logits[going]
    return rows.view(g, m, n), drawn.view(g, m, n)


def _judged(prior: CodePrior, rows: Tensor, which: Tensor, threshold: Tensor) -> tuple[Tensor, Tensor]:
    """Return the logits of every code ``(r, n, k)``, and which codes are less likely than a threshold ``(r, n)``."""
    logits = prior(rows, which).float()
    return logits, logits.log_softmax(dim=-1).gather(-1, rows.unsqueeze(-1)).squeeze(-1) < threshold


def draw(logits: Tensor, uniforms: Tensor, *, temperature: float = 1.0, top_k: int | None = None) -> Tensor:
    """Draw a code per row: the first whose cumulated probability exceeds the uniform number.

    Parameters
    ----------
    logits
        ``(r, k)``.
    uniforms
        ``(r,)`` in [0, 1).
    temperature, top_k
        As `resample`.

    Returns
    -------
    Tensor
        ``(r,)`` int64.
    """
    # In double precision, where there is one: rounding of the sums then changes no draw.
    scaled = logits.to(torch.float32 if logits.device.type == "mps" else torch.float64) / temperature
    if top_k is not None and top_k < logits.shape[1]:
        least = scaled.topk(top_k, dim=1).values[:, -1:]
        scaled = scaled.masked_fill(scaled < least, -torch.inf)
    cumulated = scaled.softmax(dim=1).cumsum(dim=1)
    return (cumulated <= uniforms.unsqueeze(1) * cumulated[:, -1:]).sum(dim=1)


@dataclass(frozen=True)
class _Layer:
    """Weights of one attention and one feed-forward layer."""

    attention_norm: Tensor
    to_qkv: Tensor
    to_out: Tensor
    feed_norm: Tensor
    widen: nn.Linear
    narrow: nn.Linear


class _CachedDecoder:
    """The decoder of a prior, which remembers keys and values of the tokens that have passed."""

    def __init__(self, prior: CodePrior, *, length: int) -> None:
        decoder, self.to_logits, self.length, self.passed = prior.decoder, prior.to_logits, length, 0
        blocks = [(norms[0], block) for norms, block, _ in decoder.layers]
        self.layers = [
            _Layer(
                attention_norm=_gain(attention_norm),
                to_qkv=torch.cat([attention.to_q.weight, attention.to_k.weight, attention.to_v.weight]),
                to_out=_projection(attention.to_out, _gain(attention_norm)),
                feed_norm=_gain(feed_norm),
                widen=feed[0],
                narrow=feed[1],
            )
            for (attention_norm, attention), (feed_norm, feed) in (
                (one, (other[0], [part for part in other[1].modules() if isinstance(part, nn.Linear)]))
                for one, other in zip(blocks[::2], blocks[1::2], strict=True)
            )
        ]
        self.last_norm = _gain(decoder.final_norm)
        self.heads = decoder.layers[0][1].heads
        self.turns: Tensor | None = None
        if decoder.rotary_pos_emb is not None:
            angles = torch.outer(torch.arange(length, device=self.last_norm.device), decoder.rotary_pos_emb.inv_freq)
            self.turns = torch.polar(torch.ones_like(angles), angles)[:, None, None]
        self.cache = torch.empty(0)

    def __call__(self, x: Tensor) -> Tensor:
        """Pass the next tokens ``(r, tokens, width)``; return the logits ``(r, k)`` behind the last of them."""
        start, stop = self.passed, self.passed + x.shape[1]
        rows, tokens, width = x.shape
        if not start:
            shape = (len(self.layers), 2, rows, self.heads, self.length, width // self.heads)
            self.cache = x.new_empty(shape)
        for layer, (keys, values) in zip(self.layers, self.cache, strict=True):
            normal = layer_norm(x, (width,), layer.attention_norm)
            qkv = linear(normal, layer.to_qkv).view(rows, tokens, 3, self.heads, -1)
            query_key = qkv[:, :, :2]
            if self.turns is not None:
                pairs = torch.view_as_complex(query_key.unflatten(-1, (-1, 2)))
                query_key = torch.view_as_real(pairs * self.turns[start:stop]).flatten(-2)
            keys[:, :, start:stop] = query_key[:, :, 1].transpose(1, 2)
            values[:, :, start:stop] = qkv[:, :, 2].transpose(1, 2)
            queries = query_key[:, :, 0].transpose(1, 2)
            if layer is self.layers[-1]:
                queries, x = queries[:, :, -1:], x[:, -1:]
            attended = _attend(queries, keys[:, :, :stop], values[:, :, :stop])
            x = x + linear(attended.transpose(1, 2).flatten(2), layer.to_out)
            x = x + layer.narrow(gelu(layer.widen(layer_norm(x, (width,), layer.feed_norm))))
        self.passed = stop
        return self.to_logits(layer_norm(x[:, -1], (width,), self.last_norm))

    def repeat(self, samples: int) -> None:
        """Go on with so many rows in the place of each."""
        if samples > 1:
            kept = self.cache[..., : self.passed, :].repeat_interleave(samples, dim=2)
            self.cache = self.cache.new_empty((*kept.shape[:-2], *self.cache.shape[-2:]))
            self.cache[..., : self.passed, :] = kept


def _attend(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Let the last tokens attend to all up to themselves: ``(r, a, new, e)`` and twice ``(r, a, all, e)``."""
    new, every = queries.shape[2], keys.shape[2]
    if new in (1, every):
        return scaled_dot_product_attention(queries, keys, values, is_causal=new > 1)
    seen = torch.ones(new, every, dtype=torch.bool, device=keys.device).tril(every - new)
    return scaled_dot_product_attention(queries, keys, values, attn_mask=seen)


def _projection(layer: nn.Module, gain: Tensor) -> Tensor:
    """Return the weight behind the heads, which x-transformers leaves out for one head, which has the full width."""
    return layer.weight if isinstance(layer, nn.Linear) else torch.eye(len(gain), device=gain.device)


def _gain(norm: Any) -> Tensor:
    """Return the weight of an x-transformers layer norm, which is stored less an offset."""
    return norm.gamma + float(norm.unit_offset)
