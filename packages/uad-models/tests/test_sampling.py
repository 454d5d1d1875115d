"""Cached and chunked sampling gives what the plain loop gives, token for token."""

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from uad_data.errors import InputError
from uad_models.sequence.layers import compiled_passes
from uad_models.sequence.orderings import ORDERINGS
from uad_models.sequence.prior import POSITIONS, CodePrior
from uad_models.sequence.sampling import Drawing, draw, resample, resample_unlikely

CODES = 6


def prior(grid: tuple[int, ...], positions: tuple[str, ...], attention: str) -> CodePrior:
    """A small prior in every order, far from uniform, that is told heights."""
    torch.manual_seed(0)
    made = CodePrior(
        grid=grid,
        codes=CODES,
        width=16,
        depth=3,
        heads=2,
        orderings=ORDERINGS,
        positions=positions,
        attention=attention,
        told_height=True,
    ).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.4 * torch.randn_like(parameter))
    return made


PRIORS = {
    (grid, positions, attention): prior(grid, positions, attention)
    for grid in ((3, 4), (2, 2, 3))
    for positions in (POSITIONS, ("absolute",), ("rotary", "spatial"))
    for attention in ("full", "linear")
}


@torch.no_grad()
def plain(model, sequences, change, which, uniforms, height=None, **options):
    """All tokens pass for every draw."""
    samples = uniforms.shape[1]
    rows, which = sequences.repeat_interleave(samples, 0), which.repeat_interleave(samples)
    height = None if height is None else height.repeat_interleave(samples)
    change = change.repeat_interleave(samples, 0)
    for place in range(rows.shape[1]):
        code = draw(model(rows, which, height)[:, place], uniforms.flatten(0, 1)[:, place], **options)
        rows[:, place] = torch.where(change[:, place], code, rows[:, place])
    return rows.view(uniforms.shape)


def test_one_head_has_no_projection_behind_it():
    torch.manual_seed(0)
    model = CodePrior(grid=(2, 3), codes=CODES, width=8, depth=2, heads=1, orderings=("raster_0",)).eval()
    sequences, which = torch.randint(CODES, (2, 6)), torch.zeros(2, dtype=torch.long)
    given = model, sequences, torch.rand(2, 6) < 0.5, which, torch.rand(2, 3, 6)
    assert torch.equal(resample(*given), plain(*given))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    model=st.sampled_from(list(PRIORS.values())),
    orders=st.lists(st.integers(0, len(ORDERINGS) - 1), min_size=1, max_size=4),
    samples=st.integers(1, 3),
    share=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    temperature=st.sampled_from([0.5, 1.0, 1.7]),
    top_k=st.sampled_from([None, 1, 3, 99]),
    told=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_cached_chunked_and_plain_sampling_agree(model, orders, samples, share, temperature, top_k, told, seed):
    generator = torch.Generator().manual_seed(seed)
    shape = (len(orders), model.orders.shape[1])
    sequences = torch.randint(CODES, shape, generator=generator)
    change = torch.rand(shape, generator=generator) < share
    uniforms = torch.rand(len(orders), samples, shape[1], generator=generator)
    arguments = (model, sequences, change, torch.tensor(orders), uniforms)
    height = torch.rand(len(orders), generator=generator) if told else None
    found = resample(*arguments, height=height, drawing=Drawing(temperature=temperature, top_k=top_k))
    assert torch.equal(found, plain(*arguments, height=height, temperature=temperature, top_k=top_k))


@torch.no_grad()
def plain_unlikely(model, sequences, may_change, which, uniforms, threshold, height=None, **options):
    """All tokens pass for every place, which is judged by what was made of the places before."""
    samples = uniforms.shape[1]
    rows, which = sequences.repeat_interleave(samples, 0), which.repeat_interleave(samples)
    may_change, drawn = may_change.repeat_interleave(samples, 0), []
    height = None if height is None else height.repeat_interleave(samples)
    for place in range(rows.shape[1]):
        logits = model(rows, which, height)[:, place]
        likelihood = logits.log_softmax(1).gather(1, rows[:, place, None])[:, 0]
        drawn.append((likelihood < threshold) & may_change[:, place])
        code = draw(logits, uniforms.flatten(0, 1)[:, place], **options)
        rows[:, place] = torch.where(drawn[-1], code, rows[:, place])
    return rows.view(uniforms.shape), torch.stack(drawn, dim=1).view(uniforms.shape)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    model=st.sampled_from(list(PRIORS.values())),
    orders=st.lists(st.integers(0, len(ORDERINGS) - 1), min_size=1, max_size=4),
    samples=st.integers(1, 3),
    share=st.sampled_from([0.0, 0.5, 1.0]),
    threshold=st.sampled_from([-9.0, -3.0, -1.0, 0.5]),
    top_k=st.sampled_from([None, 3]),
    block=st.sampled_from([1, 3, 5, 32]),
    told=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_codes_judged_by_those_healed_before_them_agree_with_the_plain_loop(
    model, orders, samples, share, threshold, top_k, block, told, seed
):
    generator = torch.Generator().manual_seed(seed)
    shape = (len(orders), model.orders.shape[1])
    sequences = torch.randint(CODES, shape, generator=generator)
    may_change = torch.rand(shape, generator=generator) < share
    uniforms = torch.rand(len(orders), samples, shape[1], generator=generator)
    arguments = (model, sequences, may_change, torch.tensor(orders), uniforms, torch.tensor(threshold))
    height = torch.rand(len(orders), generator=generator) if told else None
    codes, drawn = resample_unlikely(*arguments, height=height, drawing=Drawing(top_k=top_k), block=block)
    expected, places = plain_unlikely(*arguments, height=height, top_k=top_k)
    assert torch.equal(drawn, places)
    assert torch.equal(codes, expected)


@pytest.mark.parametrize("attention", ["full", "linear"])
@pytest.mark.parametrize("order", range(len(ORDERINGS)), ids=ORDERINGS)
def test_sampling_from_scratch_agrees_in_every_order(order, attention):
    model = PRIORS[(3, 4), POSITIONS, attention]
    everything, none = torch.ones(1, 12, dtype=torch.bool), torch.zeros(1, 12, dtype=torch.long)
    uniforms = torch.rand(1, 8, 12, generator=torch.Generator().manual_seed(order))
    arguments = (model, none, everything, torch.tensor([order]), uniforms)
    found = resample(*arguments)
    assert torch.equal(found, plain(*arguments))
    assert len(found[0].unique(dim=0)) > 1


def test_codes_that_are_kept_are_kept_and_given_sequences_are_not_written_to():
    model = PRIORS[(3, 4), POSITIONS, "full"]
    sequences, change = torch.randint(CODES, (2, 12)), torch.rand(2, 12) < 0.5
    before = sequences.clone()
    found = resample(model, sequences, change, torch.tensor([0, 8]), torch.rand(2, 3, 12))
    kept = ~change.unsqueeze(1).expand_as(found)
    assert torch.equal(found[kept], sequences.unsqueeze(1).expand_as(found)[kept])
    assert torch.equal(sequences, before)


def test_half_precision_around_it_changes_no_draw():
    model = PRIORS[(3, 4), POSITIONS, "full"]
    everything, none = torch.ones(2, 12, dtype=torch.bool), torch.zeros(2, 12, dtype=torch.long)
    arguments = (model, none, everything, torch.tensor([1, 9]), torch.rand(2, 3, 12))
    expected = resample(*arguments)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(resample(*arguments), expected)


def many_draws(drawing: Drawing, attention: str) -> torch.Tensor:
    """Sixteen sequences from scratch."""
    generator = torch.Generator().manual_seed(0)
    everything, none = torch.ones(2, 12, dtype=torch.bool), torch.zeros(2, 12, dtype=torch.long)
    uniforms = torch.rand(2, 8, 12, generator=generator)
    model = PRIORS[(3, 4), POSITIONS, attention]
    return resample(model, none, everything, torch.tensor([1, 9]), uniforms, drawing=drawing)


@pytest.mark.parametrize("attention", ["full", "linear"])
def test_most_draws_in_half_precision_are_those_of_float32(attention):
    half, expected = (many_draws(Drawing(dtype=dtype), attention) for dtype in (torch.bfloat16, torch.float32))
    # Of small networks far from uniform, and one draw that differs changes those behind it.
    assert 0.7 < (half == expected).float().mean() < 1
    assert (half[:, :, 0] == expected[:, :, 0]).float().mean() > 0.9


@pytest.fixture
def fresh_compiler():
    """Nothing compiled before or after."""
    compiled_passes.cache_clear()
    yield
    compiled_passes.cache_clear()
    torch.compiler.reset()


@pytest.mark.parametrize("attention", ["full", "linear"])
def test_compiled_passes_draw_the_same(attention, fresh_compiler, monkeypatch):
    graphs = []

    def backend(graph, _):
        graphs.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    assert torch.equal(many_draws(Drawing(compiled=True), attention), many_draws(Drawing(), attention))
    assert len(graphs) > 2  # a trial, and each half of a layer at least once


def test_without_a_compiler_the_reason_is_named(fresh_compiler, monkeypatch):
    def backend(graph, _):
        raise RuntimeError("no g++ here")

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    with pytest.raises(InputError, match=r"(?s)compiled=True: expected a compiler.*install .*or leave compiled=False"):
        many_draws(Drawing(compiled=True), "full")


def test_draws_follow_the_probabilities():
    logits = torch.tensor([0.5, -1.0, 2.0, 0.0])
    found = draw(logits.expand(4000, 4), torch.rand(4000, generator=torch.Generator().manual_seed(0)))
    expected = 4000 * logits.double().softmax(0)
    assert chisquare(found.bincount(minlength=4).numpy(), expected.numpy()).pvalue > 0.01


def test_draws_at_the_ends_by_hand():
    logits = torch.log(torch.tensor([[0.0, 0.25, 0.75, 0.0]]))
    numbers = {0.0: 1, 0.2499: 1, 0.2501: 2, 1 - 2**-24: 2}
    assert {number: draw(logits, torch.tensor([number])).item() for number in numbers} == numbers


def test_memory_that_was_not_written_is_not_read(monkeypatch):
    model = PRIORS[(3, 4), POSITIONS, "full"]
    made = torch.empty

    def dirty(*arguments, **options):
        return made(*arguments, **options).fill_(torch.nan)

    monkeypatch.setattr(torch, "empty", dirty)
    generator = torch.Generator().manual_seed(1)
    sequences = torch.randint(CODES, (3, 12), generator=generator)
    given = (
        model,
        sequences,
        torch.ones(3, 12, dtype=torch.bool),
        torch.arange(3),
        torch.rand(3, 2, 12),
        torch.tensor(-2.0),
    )
    for found, expected in zip(resample_unlikely(*given, block=5), plain_unlikely(*given), strict=True):
        assert torch.equal(found, expected)


def test_temperature_and_top_k_narrow_the_choice():
    logits = torch.tensor([1.0, 3.0, 2.0, 0.0]).expand(500, 4)
    numbers = torch.linspace(0.001, 0.999, 500)
    assert draw(logits, numbers, top_k=1).unique().tolist() == [1]
    assert draw(logits, numbers, top_k=2).unique().tolist() == [1, 2]
    assert draw(logits, numbers, temperature=0.01).unique().tolist() == [1]
    assert len(draw(logits, numbers, temperature=2.0).unique()) == 4
