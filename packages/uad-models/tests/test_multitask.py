"""Labels that say how an image was moved, equation 5.3 term by term, and a score whose terms point the same way."""

import pytest
import torch
from torch.nn import functional

from uad_data.arrays import ArraySpec, build_arrays
from uad_data.corruptions import rotate_translate
from uad_data.errors import InputError
from uad_data.phantom import write_phantom
from uad_models.methods import multitask
from uad_models.methods.multitask import Multitask, MultitaskConfig
from uad_models.methods.vae import VAE, VAEConfig
from uad_models.registry import create
from uad_models.training import fit

SMALL = {"size": (32, 32), "channels": (8, 16), "latent_dim": 8}


def learner(**changes: object) -> Multitask:
    torch.manual_seed(0)
    return Multitask(MultitaskConfig(**{**SMALL, **changes}))


def seeded(seed: int = 7) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def heads(n: int, seed: int) -> dict[str, torch.Tensor]:
    """Egg-shaped brains, brighter in front, with two dark ventricles behind the middle; an eighth of margin."""
    generator = seeded(seed)
    y, x = torch.meshgrid(torch.linspace(-1, 1, 32), torch.linspace(-1, 1, 32), indexing="ij")
    size, bright = (1 + 0.1 * torch.rand((2, n, 1, 1, 1), generator=generator)).unbind()
    brain = (y / 0.65).square() + (x / (0.5 + 0.15 * y)).square() < size - 0.1
    image = bright * (0.7 - 0.3 * y) + 0.02 * torch.randn((n, 1, 32, 32), generator=generator)
    ventricles = ((x.abs() - 0.15) / 0.08).square() + ((y - 0.1) / 0.2).square() < 1
    return {"image": torch.where(ventricles, 0.2, image) * brain, "brain": brain}


def with_lesion(image: torch.Tensor) -> torch.Tensor:
    """The same images with a bright square beside the ventricles."""
    lesioned = image.clone()
    lesioned[..., 14:19, 20:24] = 1.6
    return lesioned


@pytest.fixture(scope="module")
def trained() -> Multitask:
    """After a short training of both stages, and its calibration."""
    method, generator = learner(), seeded(0)
    for stage in method.stages:
        optimiser = torch.optim.Adam(method.parameter_groups(stage)["all"], 4e-3)
        for step in range(60 if stage == "restore" else 150):
            optimiser.zero_grad()
            method.loss(heads(32, step), stage=stage, generator=generator)["loss"].backward()
            optimiser.step()
    method.eval()
    method.calibrate(lambda: [heads(16, 1000), heads(9, 1001)], generator=generator)
    return method


def test_what_the_network_sees_moved_back_by_its_labels_is_the_image(monkeypatch):
    method, data = learner(), heads(60, 0)
    told, seen = [], []
    monkeypatch.setattr(
        multitask, "rotate_translate", lambda *a, **k: told.append(rotate_translate(*a, **k)) or told[0]
    )
    encode = method.network.encode
    monkeypatch.setattr(method.network, "encode", lambda x, **k: seen.append(x) or encode(x, **k))
    method.loss(data, generator=seeded())
    assert len(seen) == 1
    assert len(torch.cat((told[0].rotation[:, None], told[0].translation), dim=1).unique(dim=0)) > 20
    for image, moved, rotation, translation in zip(
        data["image"], seen[0], told[0].rotation, told[0].translation, strict=True
    ):
        back = torch.roll(moved, [-4 * (int(each) - 1) for each in translation], (1, 2))
        assert torch.equal(torch.rot90(back, -int(rotation), (1, 2)), image)


def test_the_turns_of_the_score_are_the_rotations_of_training():
    data = heads(120, 0)
    moved = rotate_translate(data["image"], data["brain"], generator=seeded())
    still = (moved.translation == multitask.UNMOVED).all(dim=1)
    assert moved.rotation[still].unique().tolist() == [0, 1, 2, 3]
    for image, rotation, before in zip(moved.image[still], moved.rotation[still], data["image"][still], strict=True):
        assert torch.equal(image, torch.rot90(before, int(rotation), (1, 2)))


@pytest.mark.parametrize("latent", ["dense", "spatial"])
def test_the_loss_is_cross_entropy_per_task_and_the_bound_times_epsilon(latent):
    method, data = learner(epsilon=3.0, latent=latent).eval(), heads(5, 0)
    losses = method.loss(data, generator=seeded())
    generator = seeded()
    moved = rotate_translate(data["image"], data["brain"], generator=generator)
    vae = VAE(VAEConfig(**SMALL, latent=latent)).eval()
    vae.network.load_state_dict(method.network.state_dict())
    bound = vae.loss({"image": moved.image, "brain": moved.brain}, generator=generator)
    rotation, back, across = method.head(torch.cat(method.network.encode(moved.image), 1).flatten(1)).split(
        (4, 3, 3), 1
    )
    labels = (moved.rotation, *moved.translation.unbind(1))
    crossed = [functional.cross_entropy(*pair) for pair in zip((rotation, back, across), labels, strict=True)]
    torch.testing.assert_close(losses["classification"], sum(crossed).detach() / 3)
    torch.testing.assert_close(losses["loss"], sum(crossed) / 3 + 3.0 * bound["loss"])
    right = (rotation.argmax(dim=1) == moved.rotation).float().mean()
    torch.testing.assert_close(losses["rotation_accuracy"], right)
    for key in bound.keys() - {"loss"}:
        torch.testing.assert_close(losses[key], bound[key])


def test_the_head_learns_every_task_on_unseen_healthy_images(trained):
    losses = trained.loss(heads(200, 2000), generator=seeded())
    assert losses["rotation_accuracy"] > 0.8  # chance: 1/4
    assert losses["translation_accuracy"] > 0.8  # chance: 1/3


@pytest.mark.parametrize("poses", ["given", "turned"])
def test_both_parts_of_the_score_are_higher_for_anomalous_images(trained, poses):
    method = create("multitask", **{**trained.config.to_dict(), "poses": poses}).eval()
    method.load_state_dict(trained.state_dict())
    healthy = heads(64, 2000)["image"]
    lesioned = with_lesion(healthy)
    with torch.no_grad():
        pose, distance = method.score_parts(healthy)
        unsure, far = method.score_parts(lesioned)
        assert (far > distance).all()
        assert unsure.mean() > pose.mean()
        assert (method.anomaly_score(lesioned) > method.anomaly_score(healthy)).float().mean() > 0.95
        assert 0 <= pose.min() <= unsure.max() <= 1


def test_an_image_in_another_pose_than_expected_has_a_higher_pose_score(trained):
    healthy = heads(32, 2000)["image"]
    with torch.no_grad():
        upright = trained.score_parts(healthy)[0]
        turned = trained.score_parts(torch.rot90(healthy, 1, (-2, -1)))[0]
    assert (turned > upright).float().mean() > 0.9


def test_alpha_makes_both_parts_vary_alike_over_the_healthy_images(trained):
    parts = [trained.score_parts(heads(*which)["image"]) for which in ((16, 1000), (9, 1001))]
    pose, distance = (torch.cat(each) for each in zip(*parts, strict=True))
    assert (trained.alpha * distance).std().item() == pytest.approx(pose.std().item(), rel=1e-4)
    score = trained.anomaly_score(heads(16, 1000)["image"])
    torch.testing.assert_close(score, 0.5 * pose[:16] + 0.5 * trained.alpha * distance[:16])


def test_alpha_stays_1_where_nothing_varies_or_nothing_is_validated():
    for batches in ([], [heads(1, 0)]):
        method = learner().eval()
        method.calibrate(lambda batches=batches: batches, generator=seeded())
        assert method.alpha == 1


@pytest.mark.parametrize("balance", [0.0, 1.0])
def test_the_balance_goes_from_the_head_to_the_reconstruction(balance):
    method, image = learner(balance=balance).eval(), heads(3, 0)["image"]
    with torch.no_grad():
        expected = method.score_parts(image)[int(balance)]
        assert torch.equal(method.anomaly_score(image), expected)


def test_the_head_of_the_thesis_sees_2048_numbers_and_tells_10_classes():
    method = create("multitask", **{**Multitask.presets["thesis"].config, "size": (128, 128)})
    assert method.head.weight.shape == (10, 512 * 2 * 2)
    assert sum(each.numel() for each in method.head.parameters()) == 20490
    assert learner(size=(8, 16, 16)).head.out_features == 4 + 9


def test_the_first_stage_leaves_the_head_alone():
    method = learner()
    trained_first = {id(each) for each in method.parameter_groups("restore")["all"]}
    missing = [name for name, each in method.named_parameters() if id(each) not in trained_first]
    assert missing == ["head.weight", "head.bias"]
    losses = method.loss(heads(4, 0), stage="restore", generator=seeded())
    assert losses.keys() == {"loss", "error", "swapped_error"}


def test_three_channels_train_and_score():
    method, data = learner(in_channels=3), heads(4, 0)
    data["image"] = data["image"].repeat(1, 3, 1, 1)
    assert torch.isfinite(method.loss(data, generator=seeded())["loss"])
    assert method.eval().anomaly_score(data["image"]).shape == (4,)


@pytest.mark.parametrize(
    "changes", [{"shift": 0.0}, {"shift": 0.5}, {"epsilon": 0.0}, {"balance": 1.5}, {"poses": "all"}]
)
def test_settings_without_meaning_are_refused(changes):
    with pytest.raises(InputError, match=next(iter(changes))):
        learner(**changes)


def test_images_that_cannot_be_turned_are_refused_with_the_nearest_that_can():
    with pytest.raises(InputError, match=r"h and w alike; the nearest valid: \(32, 32\) or \(64, 64\)"):
        learner(size=(32, 64))


def test_sequences_as_channels_train_from_scans_to_a_score(tmp_path):
    spec = ArraySpec(size=(32, 32), modalities=("t1", "t2", "flair"), slices="fraction:0.25")
    store = build_arrays(
        write_phantom(tmp_path / "phantom", subjects=7, spacing_mm=8.0), spec, cache=tmp_path, progress=False
    )
    config = {name: SMALL[name] for name in ("channels", "latent_dim")}
    train = {"steps": 8, "batch_size": 8, "validate_every": 4, "warmup_steps": 0}
    method = fit("multitask", store, tmp_path / "run", config=config, train=train, progress=False)
    x = torch.from_numpy(store.image[store.rows("val")].astype("float32"))
    assert x.shape[1] == method.config.in_channels == 3
    with torch.inference_mode():
        pose, distance = method.score_parts(x)
        assert method.anomaly_map(x).shape == (len(x), 1, 32, 32)
        # Every channel counts: one that is spoilt inside the brain moves both parts.
        for channel in range(3):
            spoilt = x.clone()
            spoilt[:, channel] *= 1 + 3 * (torch.arange(32) > 16)
            other_pose, other_distance = method.score_parts(spoilt)
            assert (other_distance > distance).all()
            assert (other_pose != pose).any()
    assert float(method.alpha) > 0
