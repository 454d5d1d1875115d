"""The quantiser against a slow reference and cases worked by hand."""

import math

import pytest
import torch

from uad_models.networks.quantiser import Quantiser


def vectors(*, spread: float = 1.0, seed: int = 0) -> torch.Tensor:
    """A batch of 3 grids of 4 x 5 vectors of length 6."""
    return spread * torch.randn(3, 6, 4, 5, generator=torch.Generator().manual_seed(seed))


def quantiser(**options) -> Quantiser:
    torch.manual_seed(0)
    return Quantiser(**{"codes": 8, "code_dim": 6, "revive_below": 0.0, **options})


def standardised(x: torch.Tensor) -> torch.Tensor:
    """As training sees vectors: ``(v, e)``."""
    flat = x.movedim(1, -1).reshape(-1, x.shape[1])
    return (flat - flat.mean(0)) / (flat.var(0, correction=0) + 1e-5).sqrt()


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
@pytest.mark.parametrize("update", ["average", "gradient"])
def test_every_vector_gets_its_nearest_code(distance, update):
    method, x = quantiser(distance=distance, update=update).eval(), vectors()
    found, book = method(x), method.codebook.detach()
    flat = x.movedim(1, -1).reshape(-1, 6)
    if distance == "cosine":
        similarity = [[torch.cosine_similarity(v, c, dim=0).item() for c in book] for v in flat]
        expected = [max(range(8), key=row.__getitem__) for row in similarity]
    else:
        expected = [min(range(8), key=lambda k, v=v: (v - book[k]).norm().item()) for v in flat]
    assert found.codes.flatten().tolist() == expected
    assert torch.equal(method.nearest(x), found.codes)
    torch.testing.assert_close(found.vectors, method.lookup(found.codes).movedim(-1, 1))


def test_the_gradient_passes_straight_through():
    method, x = quantiser(commitment=0.0).eval(), vectors().requires_grad_()
    weights = torch.randn(3, 6, 4, 5)
    (method(x).vectors * weights).sum().backward()
    torch.testing.assert_close(x.grad, weights / math.sqrt(1 + 1e-5))


def test_commitment_draws_vectors_and_only_the_gradient_rule_draws_codes():
    x = vectors().requires_grad_()
    averaged, learnt = quantiser(update="average").eval(), quantiser(update="gradient").eval()
    averaged(x).loss.backward()
    difference = x.detach() - averaged(x).vectors.detach()
    torch.testing.assert_close(x.grad, 0.25 * 2 * difference / x.numel(), atol=1e-7, rtol=1e-4)
    found = learnt(x.detach())
    found.loss.backward()
    for number, gradient in enumerate(learnt.codebook.grad):
        own = x.detach().movedim(1, -1)[found.codes == number]
        expected = 2 * (learnt.codebook[number].detach() - own).sum(0) / x.numel()
        torch.testing.assert_close(gradient, expected, atol=1e-6, rtol=1e-4)


def test_moving_averages_against_a_slow_reference():
    method, decay = quantiser(decay=0.9), 0.9
    method(vectors(), generator=torch.Generator().manual_seed(3))
    for seed in (1, 2, 3):
        counts, sums, book = method.counts.clone(), method.sums.clone(), method.codebook.clone()
        x = vectors(seed=seed)
        flat = standardised(x)
        nearest = [min(range(8), key=lambda k, v=v: (v - book[k]).norm().item()) for v in flat]
        method(x)
        for number in range(8):
            own = [vector for vector, code in zip(flat, nearest, strict=True) if code == number]
            count = decay * counts[number] + (1 - decay) * len(own)
            total = decay * sums[number] + (1 - decay) * sum(own, torch.zeros(6))
            torch.testing.assert_close(method.counts[number], count)
            torch.testing.assert_close(method.codebook[number], total / count, atol=1e-5, rtol=1e-4)


def test_an_unused_code_stays_where_it_is():
    method = quantiser(codes=2)
    method(vectors())
    with torch.no_grad():
        method.codebook[1], method.sums[1] = 1e3, method.counts[1] * 1e3
    for seed in range(5):
        method(vectors(seed=seed))
    torch.testing.assert_close(method.codebook[1], torch.full((6,), 1e3))


@pytest.mark.parametrize("update", ["average", "gradient"])
def test_the_codebook_starts_at_vectors_of_the_first_batch_and_only_of_that(update):
    method, first = quantiser(update=update, decay=1 - 1e-7), vectors()
    for x in (first, vectors(seed=5)):
        method(x, generator=torch.Generator().manual_seed(1))
        distances = torch.cdist(method.codebook.detach(), standardised(first)).min(dim=1).values
        torch.testing.assert_close(distances, torch.zeros(8), atol=5e-3, rtol=0)


@pytest.mark.parametrize("update", ["average", "gradient"])
def test_dead_codes_are_placed_at_vectors_of_the_batch(update):
    method, x = quantiser(update=update, revive_below=0.03), vectors()
    method(x)
    with torch.no_grad():
        method.codebook[5], method.sums[5], method.counts[5] = 1e3, 1e3, 1e-3
    method(x)
    distance = (standardised(x) - method.codebook[5].detach()).norm(dim=1).min()
    assert distance < 1e-3
    assert method.counts[5] == 60 / 8


def test_in_eval_nothing_moves():
    method = quantiser().eval()
    before = {name: value.clone() for name, value in method.state_dict().items()}
    method(vectors())
    for name, value in method.state_dict().items():
        assert torch.equal(value, before[name])


def test_perplexity_and_codes_in_use_by_hand():
    method = quantiser(codes=4, code_dim=1).eval()
    method.codebook.copy_(torch.tensor([[-9.0], [0.0], [1.0], [9.0]]))
    x = torch.tensor([0.1, 0.2, 1.1, 0.9]).view(1, 1, 2, 2)
    found = method(x)
    assert found.perplexity.item() == pytest.approx(2.0)
    assert found.in_use.item() == 0.5


def test_running_statistics_reach_those_of_the_data():
    method, x = quantiser(), 3 + vectors(spread=5.0)
    for _ in range(100):
        method(x)
    flat = x.movedim(1, -1).reshape(-1, 6)
    torch.testing.assert_close(method.mean, flat.mean(0), atol=1e-2, rtol=1e-3)
    torch.testing.assert_close(method.variance, flat.var(0, correction=0), atol=1e-2, rtol=1e-3)
