"""Fast sampling from a prior over codes: what is kept is read in one piece, only what changes is drawn one by one.

Axes: ``g`` sequences, ``m`` samples of each, ``r`` rows (``g * m``), ``n`` tokens, ``k`` codes.

The plain loop passes all tokens before a place through the network to draw the code at that place. Here

- what a token leaves to later ones is remembered (full attention: keys and values, in one tensor that is made once;
  linear attention: sums), so that a token passes the network once;
- a run of tokens that are not drawn passes together with the drawn one before it, so that there are as many passes as
  places drawn in any row;
- what lies before the first drawn place is the same for all samples of a sequence and passes once for all of them;
- behind the last drawn place nothing passes;
- with full attention, in the last layer only the token that the next draw depends on goes further than its keys and
  values.

A draw inverts the cumulated probabilities at a uniform number given by the caller, so that the result is a function of
sequences and numbers: in float32 the same as the plain loop's, token for token.
"""

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor

from uad_models.sequence.prior import CodePrior
from uad_models.sequence.readers import reader_of

BLOCK = 8  # tokens judged together


@dataclass(frozen=True)
class Drawing:
    """How codes are drawn.

    Parameters
    ----------
    temperature
        Positive; below 1 prefers likely codes.
    top_k
        Draw among so many of the likeliest codes; None among all.
    dtype
        Number format of matrix products. ``torch.bfloat16`` changes some of the draws.
    compiled
        Compile the halves of a layer by `torch.compile`; the first draws then wait for the compiler.
    """

    temperature: float = 1.0
    top_k: int | None = None
    dtype: torch.dtype = torch.float32
    compiled: bool = False

    def draw(self, logits: Tensor, uniforms: Tensor) -> Tensor:
        """Draw a code per row, see `draw`."""
        return draw(logits, uniforms, temperature=self.temperature, top_k=self.top_k)


PLAIN = Drawing()


@torch.no_grad()
def resample(
    prior: CodePrior,
    sequences: Tensor,
    change: Tensor,
    which: Tensor,
    uniforms: Tensor,
    *,
    height: Tensor | None = None,
    drawing: Drawing = PLAIN,
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
    height
        ``(g,)``, see `CodePrior.place`.
    drawing
        How to draw.

    Returns
    -------
    Tensor
        ``(g, m, n)`` int64.

    Raises
    ------
    InputError
        As `reader_of`.
    """
    samples = uniforms.shape[1]
    rows = sequences.repeat_interleave(samples, dim=0)
    drawn_places = change.any(dim=0).nonzero().flatten().tolist()
    if not drawn_places:
        return rows.view(uniforms.shape)
    with torch.autocast(sequences.device.type, enabled=False):
        reader = reader_of(prior.decoder, length=drawn_places[-1] + 1, dtype=drawing.dtype, compiled=drawing.compiled)
        places = prior.place(which, height)
        first = drawn_places[0] + 1
        read = prior.token(prior.shifted(sequences[:, :first])) + places[:, :first]
        logits = prior.to_logits(reader.read(read, 0, last=True)[:, -1]).repeat_interleave(samples, dim=0)
        reader.remember()
        reader.keep(torch.arange(len(sequences), device=rows.device).repeat_interleave(samples))
        places, change = (each.repeat_interleave(samples, dim=0) for each in (places, change))
        numbers = uniforms.reshape(rows.shape)
        for place, following in itertools.pairwise([*drawn_places, None]):
            code = drawing.draw(logits, numbers[:, place])
            rows[:, place] = torch.where(change[:, place], code, rows[:, place])
            if following is not None:
                read = prior.token(rows[:, place:following]) + places[:, place + 1 : following + 1]
                logits = prior.to_logits(reader.read(read, place + 1, last=True)[:, -1])
                reader.remember()
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
    height: Tensor | None = None,
    drawing: Drawing = PLAIN,
    block: int = BLOCK,
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
    height, drawing
        As `resample`.
    block
        Tokens that are judged together, at least 1; it changes no draw.

    Returns
    -------
    codes : Tensor
        ``(g, m, n)`` int64.
    drawn : Tensor
        ``(g, m, n)`` bool: which were unlikely.

    Raises
    ------
    InputError
        As `reader_of`.

    Notes
    -----
    A sequence passes once as it is, for all its samples; its first unlikely code is drawn. From there on a sample reads
    a block at a time: up to the first code in it that is unlikely, which is drawn and behind which the next block
    starts, or to its end. Samples are each at a place of their own; one that is behind its last place that may change
    passes no more.
    """
    g, m, n = uniforms.shape
    rows = sequences.repeat_interleave(m, dim=0)
    drawn = torch.zeros_like(rows, dtype=torch.bool)
    numbers = uniforms.flatten(0, 1)
    with torch.autocast(sequences.device.type, enabled=False):
        reader = reader_of(prior.decoder, length=n + block, dtype=drawing.dtype, compiled=drawing.compiled)
        places = prior.place(which, height)
        logits = prior.to_logits(reader.read(prior.token(prior.shifted(sequences)) + places, 0))
        below = _unlikely(logits, sequences, threshold) & may_change
        first = _first(below)
        reader.remember(first + 1)
        # Until its first draw a sequence is the same in all samples.
        active = below.any(dim=1).repeat_interleave(m).nonzero().flatten()
        place = first[active // m]
        logits = logits[active // m, place]
        reader.keep(active // m)
        ahead = torch.arange(block, device=rows.device)
        ends = (may_change * torch.arange(1, n + 1, device=rows.device)).amax(dim=1)
        found = torch.ones_like(active, dtype=torch.bool)
        while len(active):
            hit, here = active[found], place[found]
            rows[hit, here] = drawing.draw(logits[found], numbers[hit, here])
            drawn[hit, here] = True
            at = place + 1  # the token before it, and so what to read, is known
            going = at < ends[active // m]
            if not going.all():
                active, at = active[going], at[going]
                reader.keep(going.nonzero().flatten())
                if not len(active):
                    break
            spots = at.unsqueeze(1) + ahead
            within = spots.clamp(max=n - 1)
            mine = active.unsqueeze(1)
            read = prior.token(rows[mine, within - 1]) + places[mine // m, within]
            logits = prior.to_logits(reader.read(read, at))
            below = _unlikely(logits, rows[mine, within], threshold) & may_change[mine // m, within] & (spots < n)
            found, first = below.any(dim=1), _first(below)
            step = torch.where(found, first, block - 1)
            reader.remember(step + 1)
            place, logits = at + step, logits[torch.arange(len(active), device=rows.device), step]
    return rows.view(g, m, n), drawn.view(g, m, n)


def _unlikely(logits: Tensor, codes: Tensor, threshold: Tensor) -> Tensor:
    """Which codes ``(r, n)`` are less likely than a threshold, by logits ``(r, n, k)``."""
    return logits.float().log_softmax(dim=-1).gather(-1, codes.unsqueeze(-1)).squeeze(-1) < threshold


def _first(true: Tensor) -> Tensor:
    """Return the first True of each row ``(r, n)``; 0 where there is none."""
    return true.to(torch.uint8).argmax(dim=1)


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
