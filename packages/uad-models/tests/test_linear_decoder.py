"""Linear attention is what its equations say, in whatever pieces a sequence passes."""

import pytest
import torch
from torch.nn.functional import elu

from uad_models.sequence import linear_decoder
from uad_models.sequence.layers import Passes, finish, project
from uad_models.sequence.linear_decoder import Features, LinearDecoder, SummingDecoder, Sums


def projected(tokens: int, entries: int = 4) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(2, 3, tokens, entries, generator=generator) for _ in range(3))


@pytest.mark.parametrize("chunk", [1, 3, 64])
def test_attention_is_the_weighted_mean_of_the_values_so_far(monkeypatch, chunk):
    monkeypatch.setattr(linear_decoder, "CHUNK", chunk)
    query, key, value = projected(7)
    found = Features.of((query, key, value), None).attend(Sums.empty(value))
    for place in range(7):
        weights = ((elu(query[:, :, place]) + 1).unsqueeze(2) * (elu(key[:, :, : place + 1]) + 1)).sum(dim=-1)
        share = weights / weights.sum(dim=2, keepdim=True)
        torch.testing.assert_close(found[:, :, place], (share.unsqueeze(-1) * value[:, :, : place + 1]).sum(dim=2))


def decoder(*, rotary: bool) -> LinearDecoder:
    torch.manual_seed(0)
    made = LinearDecoder(width=16, depth=2, heads=2, rotary=rotary)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return made


@torch.no_grad()
def test_rotary_positions_are_relative():
    model = decoder(rotary=True)
    query, key, value = projected(5, entries=8)
    turns = [model.turns(torch.arange(5) + shift, 16) for shift in (0, 40)]
    here, there = (Features.of((query, key, value), each).attend(Sums.empty(value)) for each in turns)
    torch.testing.assert_close(here, there, atol=1e-4, rtol=1e-4)
    assert (here - Features.of((query, key, value), None).attend(Sums.empty(value))).abs().max() > 0.01


@pytest.mark.parametrize("rotary", [True, False])
@torch.no_grad()
def test_a_sequence_in_pieces_is_the_whole_sequence(rotary):
    model, x = decoder(rotary=rotary), torch.randn(3, 9, 16)
    whole = model(x)
    reader = SummingDecoder(model, model.layers(), Passes(project, finish))
    torch.testing.assert_close(reader.read(x[:, :4], 0), whole[:, :4])
    reader.remember(torch.tensor([1, 2, 4]))
    reader.keep(torch.tensor([2, 0]))
    at = torch.tensor([4, 1])
    pieces = torch.stack([x[2, 4:7], x[0, 1:4]])
    torch.testing.assert_close(reader.read(pieces, at), torch.stack([whole[2, 4:7], whole[0, 1:4]]))
    reader.remember()
    torch.testing.assert_close(
        reader.read(x[[2, 0], [7, 4]].unsqueeze(1), at + 3, last=True)[:, 0], whole[[2, 0], [7, 4]]
    )


def test_half_precision_leaves_attention_in_float32():
    model, x = decoder(rotary=True), torch.randn(2, 300, 16)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        half = model(x)
    assert torch.isfinite(half).all()
    torch.testing.assert_close(half.float(), model(x).detach(), atol=0.1, rtol=0.1)
