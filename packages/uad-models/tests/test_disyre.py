"""DISYRE beyond the contract: schedule, loss by the papers' equations, how restorations become map and score."""

import itertools

import pytest
import torch

from uad_data.corruptions.corrupted import Blended
from uad_data.errors import InputError
from uad_models.methods import disyre
from uad_models.methods.disyre import DISYRE, DISYREConfig, nearest_step, shares

SMALL = {"size": (16, 16), "channels": (8, 8), "fold": 1}
TOLD = [100, 80, 60, 40, 20]


def make(**settings) -> DISYRE:
    torch.manual_seed(0)
    return DISYRE(DISYREConfig(**{**SMALL, **settings}))


def batch(n: int = 8) -> dict[str, torch.Tensor]:
    brain = torch.zeros(n, 1, 16, 16, dtype=torch.bool)
    brain[:, :, 2:14, 3:14] = True
    noise = torch.randn(n, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    return {"image": (0.5 + 0.05 * noise).clamp(min=0.1) * brain, "brain": brain}


def always_half(method: DISYRE, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let the network restore every image to 0.5; return a list that the steps it is told are added to."""
    told: list[int] = []

    def forward(x: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
        told.append(int(step[0]))
        assert (step == step[0]).all()
        return torch.full_like(x, 0.5)

    monkeypatch.setattr(method.network, "forward", forward)
    return told


def test_severity_rises_from_nothing_to_the_whole_lesion() -> None:
    found = shares().tolist()
    expected = [0.0]
    for step in range(1, 101):
        product = 1.0
        for index in range(101 - step):
            product *= 1 - (0.001 + (0.2 - 0.001) * index / 99)
        expected.append(product**0.5)
    assert found == pytest.approx(expected, rel=1e-5)
    assert found[0] == 0
    assert found[-1] > 0.999
    assert all(low < high for low, high in itertools.pairwise(found))


def test_a_share_has_the_nearest_step() -> None:
    assert nearest_step(shares()).tolist() == list(range(101))
    assert nearest_step(torch.tensor([0.0, 1.0])).tolist() == [0, 100]
    between = (0.6 * shares()[40] + 0.4 * shares()[41]).reshape(1)
    assert nearest_step(between).tolist() == [40]


def test_the_loss_is_the_error_of_restoring_a_faded_lesion_at_its_step(monkeypatch) -> None:
    method, healthy = make(), batch(3)
    lesion = torch.zeros_like(healthy["brain"])
    lesion[:2, :, 6:9, 6:10] = True  # the third image is left healthy
    made = Blended(healthy["image"] + 0.4 * lesion, lesion, lesion.float())
    monkeypatch.setattr(disyre, "mix_lesions", lambda *args, **options: made)
    found = method.loss(healthy, generator=torch.Generator().manual_seed(3))["loss"]
    drawn = torch.empty(3).uniform_(0, 1, generator=torch.Generator().manual_seed(3)).tolist()
    schedule, errors = shares().tolist(), []
    for item, share in enumerate([drawn[0], drawn[1], 0.0]):
        x_0, x_end = healthy["image"][item], made.image[item]
        step = min(range(101), key=lambda t, share=share: abs(schedule[t] - share))
        with torch.no_grad():
            restored = method.network(((1 - share) * x_0 + share * x_end)[None], torch.tensor([step]))[0]
        errors += [(restored[0, i, j] - x_0[0, i, j]).item() ** 2 for i, j in healthy["brain"][item, 0].nonzero()]
    assert found.item() == pytest.approx(sum(errors) / len(errors), rel=1e-4)


@pytest.mark.parametrize("lesion", [1.2, 0.1], ids=["bright", "dark"])
def test_each_restoration_of_an_ensemble_starts_from_the_image(lesion, monkeypatch) -> None:
    method = make(restoration="ensemble").eval()
    told, x = always_half(method, monkeypatch), batch(2)["image"]
    x[1, :, 6:9, 6:9] = lesion
    brain = x != 0
    torch.testing.assert_close(method.anomaly_map(x), (x - 0.5).abs() * brain)
    assert told == TOLD
    torch.testing.assert_close(method.reconstruct(x), 0.5 * brain)
    score = method.anomaly_score(x)
    torch.testing.assert_close(score, ((x - 0.5).abs() * brain).sum((1, 2, 3)) / brain.sum((1, 2, 3)))
    assert score[1] > score[0]


@pytest.mark.parametrize("lesion", [1.2, 0.1], ids=["bright", "dark"])
def test_stepwise_restoration_leaves_at_each_step_the_share_of_that_step(lesion, monkeypatch) -> None:
    method = make(restoration="stepwise").eval()
    told, x = always_half(method, monkeypatch), batch(2)["image"]
    x[1, :, 6:9, 6:9] = lesion
    brain, schedule = x != 0, shares()
    left = torch.stack([schedule[step] for step in TOLD]) / schedule[100]
    torch.testing.assert_close(method.anomaly_map(x), left.mean() * (x - 0.5).abs() * brain)
    assert told == TOLD
    torch.testing.assert_close(method.reconstruct(x), 0.5 * brain)
    score = method.anomaly_score(x)
    assert score[1] > score[0]


def test_a_network_that_predicts_the_change_leaves_the_image_alone_until_it_has_learned(monkeypatch) -> None:
    method, x = make(predicts="change").eval(), batch(2)["image"]
    assert 0 < method.anomaly_map(x).max() < 0.02
    assert make(predicts="image").eval().anomaly_map(x).mean() > 0.1
    once = make(predicts="change", restorations=1).eval()
    monkeypatch.setattr(once.network, "forward", lambda x, step: torch.full_like(x, 0.1))
    torch.testing.assert_close(once.reconstruct(x), (x + 0.1) * (x != 0))


def test_a_predicted_change_learns_to_take_lesions_away(monkeypatch) -> None:
    """On the same bright square, wherever it lies."""
    corners = itertools.cycle(itertools.product((3, 5, 7, 9), repeat=2))

    def squares(image: torch.Tensor, brain: torch.Tensor, **options: object) -> Blended:
        lesion = torch.zeros_like(brain)
        for each, (i, j) in zip(lesion, corners, strict=False):
            each[:, i : i + 3, j : j + 3] = True
        return Blended(image + 0.8 * lesion, lesion, lesion.float())

    monkeypatch.setattr(disyre, "mix_lesions", squares)
    method, healthy = make(predicts="change").train(), batch()
    optimiser = torch.optim.Adam(method.parameters(), 3e-3)
    generator = torch.Generator().manual_seed(0)
    losses = []
    for _ in range(150):
        optimiser.zero_grad()
        loss = method.loss(healthy, generator=generator)["loss"]
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert sum(losses[-20:]) < sum(losses[:20]) / 4
    made = squares(healthy["image"], healthy["brain"])
    found = method.eval().anomaly_map(made.image)
    assert found[made.mask].mean() > found[healthy["brain"] & ~made.mask].mean() + 0.1


def test_the_signed_residual_counts_only_what_is_brighter(monkeypatch) -> None:
    method = make(restoration="ensemble", residual="signed").eval()
    always_half(method, monkeypatch)
    x = batch(1)["image"]
    torch.testing.assert_close(method.anomaly_map(x), (x - 0.5).clamp(min=0))


def test_the_papers_lesions_are_foreign_tissue_and_the_quick_ones_all_that_are_not_held_out(kinds_used) -> None:
    paper = make(kinds=DISYRE.presets["paper"].config["kinds"])
    assert kinds_used(paper.train(), batch()) == {"foreign_interpolation"}
    assert kinds_used(paper.eval(), batch()) == {"intensity_shift"}
    quick = make(kinds=DISYRE.presets["quick"].config.get("kinds", ()))
    seen = kinds_used(quick.train(), batch())
    assert len(seen) > 3
    assert "intensity_shift" not in seen


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"channels": (12,)}, "multiples of 8"),
        ({"fold": 0}, "fold"),
        ({"restorations": 0}, "expected 1 to 100, got 0"),
        ({"restorations": 101}, "expected 1 to 100, got 101"),
        ({"restoration": "once"}, "restoration"),
        ({"modalities": ("t1", "t2")}, "one name, or 1"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, message) -> None:
    with pytest.raises(InputError, match=message):
        DISYREConfig(**{**SMALL, **settings})
