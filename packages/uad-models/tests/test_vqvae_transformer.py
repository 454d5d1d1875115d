"""The chain from codes to map: threshold, healing, weights, scores, and a prior that belongs to one codebook."""

import dataclasses
import math

import pytest
import torch

from uad_data.errors import InputError
from uad_models.methods import vqvae_transformer
from uad_models.methods.vqvae_transformer import BINS, LEAST, VQVAETransformer, VQVAETransformerConfig
from uad_models.scores import residual_map

SMALL = {
    "size": (16, 16),
    "channels": (8, 8),
    "codes": 6,
    "code_dim": 4,
    "predict_scale": False,
    "width": 16,
    "depth": 2,
    "heads": 2,
    "samples": 3,
    "orderings": ("raster_0", "spiral"),
}


def make(**changes: object) -> VQVAETransformer:
    """A codebook that has seen the batch, and a prior far from uniform."""
    torch.manual_seed(0)
    method = VQVAETransformer(VQVAETransformerConfig(**{**SMALL, **changes}))
    with torch.no_grad():
        for parameter in method.prior.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        for _ in range(30):
            losses(method, "vqvae")
    return method


def changed(method: VQVAETransformer, **changes: object) -> VQVAETransformer:
    """The same weights, other settings."""
    other = VQVAETransformer(dataclasses.replace(method.config, **changes))
    other.load_state_dict(method.state_dict())
    return other.eval()


def batch(n: int = 4) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    brain = torch.zeros(n, 1, 16, 16, dtype=torch.bool)
    brain[:, :, 4:12, 4:16] = True
    return {"image": torch.rand(n, 1, 16, 16, generator=generator) * brain, "brain": brain}


def losses(method: VQVAETransformer, stage: str) -> dict[str, torch.Tensor]:
    return method.loss(batch(), stage=stage, generator=torch.Generator().manual_seed(0))


def test_each_stage_trains_its_own_parameters():
    method = make()
    codes, prior = (method.parameter_groups(stage)["all"] for stage in method.stages)
    assert {id(p) for p in codes} | {id(p) for p in prior} == {id(p) for p in method.parameters()}
    assert not {id(p) for p in codes} & {id(p) for p in prior}
    before = {name: value.clone() for name, value in method.quantiser.state_dict().items()}
    losses(method, "prior")["loss"].backward()
    assert all(p.grad is None for p in codes)
    for name, value in method.quantiser.state_dict().items():
        assert torch.equal(value, before[name])


def test_the_priors_loss_is_the_mean_likelihood_of_its_codes_in_the_orders_drawn():
    method = make().eval()
    which = torch.randint(2, (4,), generator=torch.Generator().manual_seed(0))
    every = method.log_likelihood(method.codes(batch()["image"]))
    expected = -torch.stack([every[row, order].mean() for row, order in enumerate(which)]).mean()
    found = losses(method, "prior")
    torch.testing.assert_close(found["loss"], expected)
    torch.testing.assert_close(found["bits"], expected / math.log(2))


def test_the_threshold_is_a_quantile_of_healthy_validation_codes_inside_the_brain():
    method = make(orderings=("raster_0",), healthy_quantile=0.3)
    losses(method, "prior")
    assert method.threshold().item() == pytest.approx(-math.log(6))
    method.eval()
    losses(method, "prior")
    inside = torch.zeros(4, 4, 4, dtype=torch.bool)
    inside[:, 1:3, 1:] = True
    healthy = method.log_likelihood(method.codes(batch()["image"]))[:, 0][inside]
    assert method.healthy_counts.sum() == len(healthy)
    below = healthy[healthy < method.threshold()]
    assert len(below) / len(healthy) == pytest.approx(0.3, abs=1.01 / len(healthy))
    assert method.threshold().item() == pytest.approx(healthy.quantile(0.3).item(), abs=0.3)
    twice = method.healthy_counts.clone()
    losses(method, "prior")
    assert torch.equal(method.healthy_counts, 2 * twice)
    losses(method.train(), "prior")
    assert method.healthy_counts.sum() == 0


def test_likelihoods_beyond_the_bins_are_counted_at_their_ends():
    method = make()
    method._count(torch.tensor([0.0, 2 * LEAST, LEAST / BINS * 10.5]))
    assert method.healthy_counts.nonzero().flatten().tolist() == [0, BINS - 11, BINS - 1]


@pytest.mark.parametrize("judged_by", ["own", "healed"])
def test_healing_draws_unlikely_codes_inside_the_brain_and_keeps_the_rest(judged_by):
    method, image = make(judged_by=judged_by).eval(), batch()["image"]
    with torch.no_grad():
        healing = method.heal(image)
    assert healing.healed.shape == (4, 2, 3, 4, 4)
    assert 0 < healing.unlikely.float().mean() < 1
    inside = torch.zeros(4, 4, dtype=torch.bool)
    inside[1:3, 1:] = True
    own = ((healing.log_likelihood < method.threshold()) & inside).unsqueeze(2).expand_as(healing.unlikely)
    assert torch.equal(healing.unlikely, own) == (judged_by == "own")
    assert not (healing.unlikely & ~inside).any()
    kept = ~healing.unlikely
    assert torch.equal(healing.healed[kept], healing.codes[:, None, None].expand_as(healing.healed)[kept])
    assert (healing.healed != healing.codes[:, None, None]).any()
    assert (healing.healed[:, :, 0] != healing.healed[:, :, 1]).any()


@pytest.mark.parametrize("judged_by", ["own", "healed"])
def test_how_many_rows_are_drawn_together_changes_nothing(monkeypatch, judged_by):
    method, image = make(judged_by=judged_by).eval(), batch()["image"]
    gpu = torch.device("cuda")
    assert (method._rows_at_a_time(image.device) == 1) == (judged_by == "own")
    assert method._rows_at_a_time(gpu) > 8
    with torch.no_grad():
        alone = method.heal(image).healed
        monkeypatch.setattr(method, "_rows_at_a_time", lambda device: 3)
        assert torch.equal(method.heal(image).healed, alone)
    monkeypatch.undo()
    monkeypatch.setattr(vqvae_transformer, "ROWS_MEMORY", 1)
    assert method._rows_at_a_time(gpu) == 1


def weighted(method: VQVAETransformer, image: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Weight, healed image and error to expect of each order and sample."""
    healing, found = method.heal(image), []
    for order in range(2):
        for sample in range(3):
            mask = healing.unlikely[:, order, sample].float().repeat_interleave(4, 1).repeat_interleave(4, 2)
            weight = vqvae_transformer.gaussian_mean(mask[:, None], dims=2, sigma=2.0)
            found.append((weight, *method.decode(healing.healed[:, order, sample])))
    return found


def test_the_paper_s_map_is_the_mean_of_weighted_residuals():
    method, image = make(predict_scale=True, averaged="residuals").eval(), batch()["image"]
    with torch.no_grad():
        parts = [weight * residual_map(image, made, "l1", scale=s) for weight, made, s in weighted(method, image)]
        found = method.anomaly_map(image)
    torch.testing.assert_close(found, torch.stack(parts).mean(dim=0))
    assert found.max() > 0


def test_the_map_is_the_residual_to_the_mean_healed_image_under_the_mean_mask():
    method, image = make(predict_scale=True).eval(), batch()["image"]
    with torch.no_grad():
        weight, made, scale = (torch.stack(each).mean(dim=0) for each in zip(*weighted(method, image), strict=True))
        found = method.anomaly_map(image)
        torch.testing.assert_close(method.reconstruct(image), made * (image != 0))
        assert not torch.allclose(found, changed(method, averaged="residuals").anomaly_map(image))
    torch.testing.assert_close(found, weight * residual_map(image, made, "l1", scale=scale))


def test_the_ablations_steps_are_what_they_are_called():
    healed, image = make().eval(), batch()["image"]
    with torch.no_grad():
        masked, residual, likelihood = (
            changed(healed, map_of=kind).anomaly_map(image) for kind in ("masked", "residual", "likelihood")
        )
        plain = changed(healed, map_of="residual").reconstruct(image)
        assert torch.equal(residual, healed.residual(image, healed.codes(image)))
        assert ((masked <= residual + 1e-6) & (masked >= 0)).all()
        assert (masked < residual).any()
        assert likelihood[batch()["brain"]].min() > 0
        assert likelihood[~batch()["brain"]].abs().max() == 0
        assert not torch.equal(healed.reconstruct(image), plain)


def test_what_counts_outside_the_unlikely_codes_can_be_raised():
    method, image = make().eval(), batch()["image"]
    with torch.no_grad():
        none, some, all_of_it = (
            changed(method, map_of="masked", outside=outside).anomaly_map(image) for outside in (0.0, 0.4, 1.0)
        )
        torch.testing.assert_close(some, 0.6 * none + 0.4 * all_of_it)
        torch.testing.assert_close(all_of_it, method.residual(image, method.codes(image)))


def test_the_sequences_score_is_bits_per_code_inside_the_brain():
    method, image = changed(make(), score_of="sequence"), batch()["image"]
    with torch.no_grad():
        inside = method.log_likelihood(method.codes(image))[:, :, 1:3, 1:]
        torch.testing.assert_close(method.anomaly_score(image), -inside.mean(dim=(1, 2, 3)) / math.log(2))
        assert torch.equal(method.anomaly_score(torch.zeros(1, 1, 16, 16)), torch.zeros(1))


def test_the_height_reaches_every_likelihood_and_may_be_left_out():
    method, image = make(told_height=True).eval(), batch()["image"]
    low, high = torch.zeros(4), torch.ones(4)
    with torch.no_grad():
        codes = method.codes(image)
        one, other = (method.log_likelihood(codes, height=height) for height in (low, high))
        assert not torch.equal(one, other)
        for name in ("anomaly_map", "reconstruct", "sequence_bits", "anomaly_score"):
            found = [getattr(method, name)(image, height=height) for height in (low, high)]
            assert not torch.equal(*found)
            untold = [getattr(method, name)(image, **told) for told in ({}, {"height": low * torch.nan})]
            assert torch.equal(*untold)
        for kind in ("masked", "likelihood"):
            variant = changed(method, map_of=kind)
            assert not torch.equal(variant.anomaly_map(image, height=low), variant.anomaly_map(image, height=high))
        assert torch.equal(method.heal(image, height=low).log_likelihood, one)
    own = changed(method, judged_by="own")
    with torch.no_grad():
        assert not torch.equal(own.heal(image, height=low).healed, own.heal(image, height=high).healed)


def test_a_tenth_of_the_training_slices_are_not_told_their_height(monkeypatch):
    method, seen = make(told_height=True), []
    real = method.prior.log_likelihood
    monkeypatch.setattr(
        method.prior, "log_likelihood", lambda codes, which, height: seen.append(height) or real(codes, which, height)
    )
    codes, generator = torch.zeros(2000, 4, 4, dtype=torch.long), torch.Generator().manual_seed(0)
    extracted = {"codes": codes, "inside": codes == 0, "height": torch.rand(2000)}
    method.loss(extracted, stage="prior", generator=generator)
    method.eval().loss(extracted, stage="prior", generator=generator)
    assert 0.07 < seen[0].isnan().float().mean() < 0.13
    assert torch.equal(seen[1], extracted["height"])


def test_the_prior_learns_what_a_height_means():
    method = make(told_height=True)
    codes = torch.cat([torch.full((16, 4, 4), 1), torch.full((16, 4, 4), 4)])
    extracted = {"codes": codes, "inside": codes > 0, "height": torch.linspace(0, 1, 32)}
    optimiser = torch.optim.Adam(method.prior.parameters(), 1e-2)
    for _ in range(60):
        optimiser.zero_grad()
        method.loss(extracted, stage="prior", generator=torch.Generator().manual_seed(0))["loss"].backward()
        optimiser.step()
    method.eval()
    with torch.no_grad():
        right, wrong = (method.log_likelihood(codes[:1], height=torch.tensor([height])) for height in (0.1, 0.9))
    first = (slice(None), slice(None), 0, 0)  # later codes are told by those before them
    assert right[first].mean() > wrong[first].mean() + 1


def test_linear_attention_and_half_precision_heal_as_well():
    image = batch()["image"]
    method = make(attention="linear").eval()
    with torch.no_grad():
        found = changed(method, drawn_in="bfloat16").heal(image)
        healing = method.heal(image)
    assert 0 < healing.unlikely.float().mean() < 1
    same = (found.healed == healing.healed).float().mean()
    assert same > 0.7
    assert changed(method, drawn_in="bfloat16").config.drawing.dtype is torch.bfloat16


def test_settings_that_older_runs_do_not_have_are_written_only_where_they_change_something():
    assert not {"attention", "told_height", "drawn_in", "compiled"} & make().config.to_dict().keys()
    config = make(attention="linear", drawn_in="bfloat16").config
    assert config.to_dict()["attention"] == "linear"
    assert VQVAETransformerConfig.from_dict(config.to_dict()) == config


def test_a_volume_has_no_height():
    with pytest.raises(InputError, match="told_height"):
        VQVAETransformerConfig(size=(16, 16, 16), channels=(8, 8), told_height=True)


def test_a_prior_of_another_codebook_is_refused():
    method, other = make(), make()
    losses(method, "prior")
    other.load_state_dict(method.state_dict())
    mixed = method.state_dict() | {"quantiser.codebook": method.quantiser.codebook + 1}
    with pytest.raises(InputError, match="trained for another codebook"):
        make().load_state_dict(mixed)
    alone = {name: value for name, value in method.state_dict().items() if name.startswith("prior")}
    with torch.no_grad():
        other.quantiser.codebook.add_(1)
    with pytest.raises(InputError, match="trained for another codebook"):
        other.load_state_dict(alone, strict=False)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("orderings", ()),
        ("orderings", ("raster_9",)),
        ("positions", ("rotary",)),
        ("positions", ("somewhere", "absolute")),
        ("width", 18),
        ("depth", 0),
        ("samples", 0),
        ("temperature", 0.0),
        ("top_k", 0),
        ("healthy_quantile", 0.0),
        ("outside", 1.5),
    ],
)
def test_settings_out_of_range_are_refused_by_name(field, value):
    with pytest.raises(InputError, match=field):
        make(**{field: value})
