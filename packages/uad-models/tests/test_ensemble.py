"""The ensemble beyond the contract: whose stage is whose, what healthy brains set, what is refused."""

from dataclasses import replace

import pytest
import torch

from uad_data.errors import InputError
from uad_models.methods.ensemble import EnsembleConfig
from uad_models.overrides import parse_overrides
from uad_models.registry import create, method_class
from uad_models.run_folder import training_seconds
from uad_models.train_config import TrainConfig
from uad_models.training import fit
from uad_models.training_stage import Stage

SMALL_AE = "ae:channels=8+8;latent_dim=4"
SMALL_UNET = "synthetic_unet:channels=8+8;coarse=0;fold=1"
SIGNED = f"{SMALL_AE};residual=signed"


def batch(n: int = 6, seed: int = 0) -> dict[str, torch.Tensor]:
    brain = torch.zeros(n, 1, 16, 16, dtype=torch.bool)
    brain[:, :, 2:14, 3:13] = True
    image = torch.rand(brain.shape, generator=torch.Generator().manual_seed(seed)) * brain
    return {"image": image, "brain": brain}


def test_a_stage_trains_its_own_member_alone() -> None:
    method = create("ensemble", size=(16, 16), members=(SMALL_AE, SIGNED, "vae:channels=8+8"))
    assert method.stages == ("1_ae_fit", "2_ae_fit", "3_vae_fit")
    for number, stage in enumerate(method.stages):
        own = {id(parameter) for parameter in method.members[number].parameters()}
        assert {id(p) for group in method.parameter_groups(stage).values() for p in group} == own
        method.zero_grad()
        method.loss(batch(), stage=stage, generator=torch.Generator().manual_seed(0))["loss"].backward()
        moved = [any(p.grad is not None for p in member.parameters()) for member in method.members]
        assert moved == [place == number for place in range(3)]


def test_members_of_one_kind_differ() -> None:
    torch.manual_seed(0)
    one, other = create("ensemble", size=(16, 16), members=(SMALL_AE, SMALL_AE)).members
    assert not torch.equal(one.reconstruct(batch()["image"]), other.reconstruct(batch()["image"]))


def test_maps_count_in_units_of_the_highest_hundredth_of_healthy_voxels() -> None:
    torch.manual_seed(0)
    method, given = create("ensemble", size=(16, 16), members=(SMALL_AE, SIGNED)).eval(), batch()
    with torch.no_grad():
        method.calibrate(lambda: [given], generator=torch.Generator())
        parts = []
        for member in method.members:
            found = member.anomaly_map(given["image"])
            values = sorted(found[given["brain"]].tolist())
            highest = values[-round(0.01 * len(values)) :]
            parts.append(found / (sum(highest) / len(highest)))
        torch.testing.assert_close(method.anomaly_map(given["image"]), (parts[0] + parts[1]) / 2)
        scores = [member.anomaly_score(given["image"]) for member in method.members]
        expected = sum(score / score.mean() for score in scores) / 2
        torch.testing.assert_close(method.anomaly_score(given["image"]), expected)


def test_a_probability_keeps_its_scale() -> None:
    torch.manual_seed(0)
    method, given = create("ensemble", size=(16, 16), members=(SMALL_UNET, SMALL_AE)).eval(), batch()
    with torch.no_grad():
        method.calibrate(lambda: [given], generator=torch.Generator().manual_seed(0))
        unet, ae = (member.anomaly_map(given["image"]) for member in method.members)
        assert method.scale[0] == 0.5
        assert method.scale[1] != 0.5
        torch.testing.assert_close(method.anomaly_map(given["image"]), (unet / 0.5 + ae / method.scale[1]) / 2)


def test_it_is_trained_calibrated_and_loaded_like_any_method(store, tmp_path) -> None:
    train = {"steps": 4, "batch_size": 8, "validate_every": 4}
    config = {"members": (SMALL_AE, SIGNED)}
    method = fit("ensemble", store, tmp_path, config=config, train=train, progress=False)
    assert (method.scale != 1).all()
    again = fit("ensemble", store, tmp_path, config=config, train=train, progress=False)
    assert torch.equal(method.scale, again.scale)


def test_a_member_whose_preset_does_not_augment_sees_images_as_they_are(store, tmp_path, monkeypatch) -> None:
    augmented: list[int] = []

    def count(image, brain, **others):
        augmented.append(len(image))
        return image, brain

    monkeypatch.setattr("uad_models.feeding.augment", count)
    train = {"steps": 2, "batch_size": 8, "validate_every": 2, "augmentation": "nnunet"}
    fit("ensemble", store, tmp_path / "plain", config={"members": (SMALL_AE, SIGNED)}, train=train, progress=False)
    assert not augmented
    members = (SMALL_UNET, SMALL_AE)
    fit("ensemble", store, tmp_path / "both", config={"members": members}, train=train, progress=False)
    assert sum(augmented) == 2 * 8


def test_a_member_is_trained_as_its_own_preset_says_unless_told_otherwise() -> None:
    method = create("ensemble", size=(16, 16), members=(SMALL_UNET, SMALL_AE))
    usual = TrainConfig.from_dict(method.presets["quick"].train)
    for stage, member in zip(method.stages, method.members, strict=True):
        own = TrainConfig.from_dict(member.presets["quick"].train)
        assert method.train_config(stage, usual) == own
        assert method.train_config(stage, replace(usual, steps=7)) == replace(own, steps=7)
    told = create("ensemble", size=(16, 16), members=(SMALL_UNET, f"{SMALL_AE};steps=9;warmup_steps=2"))
    own = TrainConfig.from_dict(told.members[1].presets["quick"].train)
    assert told.train_config(told.stages[0], usual).steps == usual.steps
    assert told.train_config(told.stages[1], usual) == replace(own, steps=9, warmup_steps=2)
    assert told.train_config(told.stages[1], replace(usual, steps=7)).steps == 9


@pytest.mark.parametrize("members", [(SMALL_UNET, SMALL_AE), (SMALL_AE, SMALL_AE, "multitask:channels=8+8")])
def test_members_trained_alone_are_taken_and_change_nothing(store, tmp_path, monkeypatch, members) -> None:
    config, train = {"members": members}, {"steps": 4, "batch_size": 8, "validate_every": 2, "augmentation": "none"}
    here = fit("ensemble", store, tmp_path / "here", config=config, train=train, progress=False)
    runs = [tmp_path / "not_there"]
    for place, member in enumerate(members[:2]):
        name, _, text = member.partition(":")
        own = parse_overrides(text.split(";"), {"config": method_class(name).Config}, flags={})["config"]
        seed = members[:place].count(member)
        fit(name, store, tmp_path / str(place), config=own, train=train, seed=seed, progress=False)
        runs.append(tmp_path / str(place))
    steps: list[str] = []
    step = Stage.step
    monkeypatch.setattr(Stage, "step", lambda self, *a, **k: (steps.append(self.name), step(self, *a, **k))[1])
    taken = fit("ensemble", store, tmp_path / "taken", config=config, train=train, trained=runs, progress=False)
    assert not {*taken.stages[:2]} & {*steps}
    assert all(torch.equal(value, taken.state_dict()[name]) for name, value in here.state_dict().items())
    assert training_seconds(tmp_path / "taken") > sum(training_seconds(run) for run in runs[1:])
    others = {"seed": 1}, {"train": train | {"steps": 3}}, {"config": {"members": (SIGNED, SIGNED)}}
    for number, other in enumerate(others):
        steps.clear()
        asked = {"config": config, "train": train, "trained": runs} | other
        fit("ensemble", store, tmp_path / f"other{number}", **asked, progress=False)
        assert steps


def test_the_same_member_again_has_the_next_seed(store, tmp_path) -> None:
    train = {"steps": 2, "batch_size": 8}
    both = fit("ensemble", store, tmp_path / "e", config={"members": (SMALL_AE,) * 2}, train=train, progress=False)
    small = {"channels": (8, 8), "latent_dim": 4}
    for seed, member in enumerate(both.members):
        alone = fit("ae", store, tmp_path / str(seed), seed=seed, config=small, train=train, progress=False)
        assert all(torch.equal(value, member.state_dict()[name]) for name, value in alone.state_dict().items())


def test_a_member_is_told_what_it_asks_for_and_extracts_for_its_own_stage() -> None:
    torch.manual_seed(0)
    told = "vqvae_transformer:channels=8+8;width=8;depth=1;heads=1;told_height=true;healthy_quantile=0.9"
    method = create("ensemble", size=(16, 16), members=(SMALL_AE, told)).eval()
    assert method.covariates == ("height",)
    assert method.extracted == ("2_vqvae_transformer_prior",)
    given, (plain, prior) = batch() | {"height": torch.rand(6)}, method.members
    with torch.no_grad():
        prior.prior.height.weight.add_(3 * torch.randn_like(prior.prior.height.weight))
        found = method.extract(given, stage="2_vqvae_transformer_prior")
        assert torch.equal(found["codes"], prior.codes(given["image"]))
        for name in ("anomaly_map", "reconstruct", "anomaly_score"):
            parts = getattr(plain, name)(given["image"]), getattr(prior, name)(given["image"], height=given["height"])
            found = getattr(method, name)(given["image"], height=given["height"])
            torch.testing.assert_close(found, sum(parts) / 2)
        method.calibrate(lambda: [given], generator=torch.Generator().manual_seed(0))
        score = prior.anomaly_score(given["image"], height=given["height"]).mean()
        torch.testing.assert_close(method.score_scale[1], score)
        assert (prior.anomaly_score(given["image"]).mean() - score).abs() > 1e-4


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (("ae",), "at least two"),
        (("ae", "ea"), "unknown method 'ea'"),
        (("ae", "intensity"), "methods that learn"),
        (("ae", "vae:minutes=2"), "give minutes with the ensemble's own"),
        (("ae", "vae:steps=0"), "at least 1"),
        (("ae", "finetune"), "methods that learn without labels"),
        (("ae", "ensemble"), "other than an ensemble"),
        (("ae", "vae:laten=3"), "unknown key 'laten'"),
    ],
)
def test_members_that_cannot_be_are_refused(members, message) -> None:
    with pytest.raises(InputError, match=message):
        EnsembleConfig(size=(16, 16), members=members)
