"""The prior's likelihood is one: it sums to 1, looks only back, and learns a known source to its entropy."""

import itertools
import math

import pytest
import torch

from uad_models.sequence.orderings import ORDERINGS
from uad_models.sequence.prior import POSITIONS, CodePrior


def prior(*, grid=(2, 2), codes=3, orderings=("raster_0",), positions=POSITIONS, spread=0.5, **more) -> CodePrior:
    """A small prior; with a spread, far from uniform."""
    torch.manual_seed(0)
    made = CodePrior(
        grid=grid, codes=codes, width=16, depth=2, heads=2, orderings=orderings, positions=positions, **more
    ).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(spread * torch.randn_like(parameter))
    return made


both_attentions = pytest.mark.parametrize("attention", ["full", "linear"])


@both_attentions
@pytest.mark.parametrize("positions", [POSITIONS, ("absolute",), ("spatial",), ("rotary", "spatial")], ids=str)
def test_probabilities_of_all_sequences_sum_to_1(positions, attention):
    model = prior(orderings=ORDERINGS, positions=positions, attention=attention)
    every = torch.tensor(list(itertools.product(range(3), repeat=4)))
    for order in (0, len(ORDERINGS) - 1):
        with torch.no_grad():
            likelihood = model.log_likelihood(every, torch.full((len(every),), order)).sum(dim=1)
        assert likelihood.exp().sum().item() == pytest.approx(1, abs=1e-5)
        assert likelihood.exp().max() > 2 / len(every)


@both_attentions
def test_a_code_depends_on_the_codes_before_it_alone(attention):
    model = prior(grid=(2, 3), codes=5, attention=attention)
    sequences, which = torch.randint(5, (1, 6)), torch.zeros(1, dtype=torch.long)
    with torch.no_grad():
        before = model(sequences, which)
        for place in range(6):
            changed = sequences.clone()
            changed[0, place] = (changed[0, place] + 1) % 5
            moved = (model(changed, which) - before).abs().amax(dim=-1)[0] > 1e-6
            assert moved.tolist() == [other > place for other in range(6)]


def test_sequences_and_grids_are_inverses_in_every_order():
    model = prior(grid=(2, 3, 4), codes=50, orderings=ORDERINGS)
    which, codes = torch.arange(len(ORDERINGS)), torch.randint(50, (len(ORDERINGS), 2, 3, 4))
    sequences = model.sequences(codes, which)
    assert torch.equal(model.grids(sequences, which), codes)
    assert torch.equal(sequences[0], codes[0].flatten())


def test_the_order_changes_the_likelihood():
    model = prior(grid=(3, 3), orderings=("raster_0", "spiral"), positions=("spatial",))
    sequences = torch.zeros(2, 9, dtype=torch.long)
    with torch.no_grad():
        one, other = model.log_likelihood(sequences, torch.tensor([0, 1]))
    assert (one - other).abs().max() > 1e-3


def test_the_height_changes_the_likelihood_where_it_is_told():
    model = prior(told_height=True)
    sequences, which = torch.zeros(4, 4, dtype=torch.long), torch.zeros(4, dtype=torch.long)
    with torch.no_grad():
        found = model.log_likelihood(sequences, which, torch.tensor([0.0, 0.5, 1.0, torch.nan])).sum(dim=1)
        assert len(found.unique()) == 4
        torch.testing.assert_close(model.log_likelihood(sequences, which).sum(dim=1), found[3].expand(4))
        deaf = prior()
        assert torch.equal(deaf(sequences, which, torch.rand(4)), deaf(sequences, which))


@both_attentions
def test_a_known_markov_source_is_learnt_to_its_entropy(attention):
    step = torch.tensor([[0.7, 0.2, 0.1], [0.05, 0.9, 0.05], [0.4, 0.1, 0.5]])
    start = torch.tensor([0.6, 0.3, 0.1])
    length, generator = 12, torch.Generator().manual_seed(0)

    def draw(rows: int) -> torch.Tensor:
        found = [torch.multinomial(start.expand(rows, 3), 1, generator=generator)]
        for _ in range(length - 1):
            found.append(torch.multinomial(step[found[-1][:, 0]], 1, generator=generator))
        return torch.cat(found, dim=1)

    share, entropy = start, -(start * start.log()).sum()
    for _ in range(length - 1):
        entropy = entropy - (share[:, None] * step * step.log()).sum()
        share = share @ step
    model = prior(grid=(3, 4), spread=0.0, attention=attention).train()
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    for number in range(150):
        optimiser.param_groups[0]["lr"] = 1e-2 * (1 - number / 150)
        optimiser.zero_grad()
        sequences = draw(128)
        (-model.log_likelihood(sequences, torch.zeros(128, dtype=torch.long)).mean()).backward()
        optimiser.step()
    unseen = draw(8000)
    with torch.no_grad():
        found = -model.log_likelihood(unseen, torch.zeros(8000, dtype=torch.long)).sum(dim=1).mean()
    assert found.item() == pytest.approx(entropy.item(), rel=0.02)
    assert entropy.item() < 0.8 * length * math.log(3)
