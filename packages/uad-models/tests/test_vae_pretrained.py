"""Algorithm 1, then algorithm 2, with one set of weights, through the one training loop."""

import pandas as pd
import torch

from uad_models.methods.context_restoration import ContextRestoration
from uad_models.methods.vae import VAE, VAEConfig
from uad_models.methods.vae_pretrained import VAEPretrained, VAEPretrainedConfig
from uad_models.registry import create
from uad_models.run_folder import HISTORY
from uad_models.training import fit

SMALL = {"size": (16, 16), "channels": (8, 8), "latent_dim": 4}


def batch() -> dict[str, torch.Tensor]:
    brain = torch.zeros(3, 1, 16, 16, dtype=torch.bool)
    brain[..., 2:14, 3:15] = True
    return {"image": torch.rand((3, 1, 16, 16), generator=seeded()) * brain, "brain": brain}


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(7)


def test_the_first_stage_is_algorithm_1_and_the_second_the_vaes_loss():
    method = VAEPretrained(VAEPretrainedConfig(**SMALL))
    restorer = create("context_restoration", **SMALL, predict_scale=True).eval()
    vae = VAE(VAEConfig(**SMALL))
    for other in (restorer, vae):
        other.load_state_dict(method.state_dict())
    restorer.network.train()  # as in training, but the loss counts the error
    stages = [(method.loss(batch(), stage=stage, generator=seeded())) for stage in method.stages]
    expected = [other.loss(batch(), generator=seeded()) for other in (restorer, vae)]
    for found, wanted in zip(stages, expected, strict=True):
        assert found.keys() == wanted.keys()
        torch.testing.assert_close(found["loss"], wanted["loss"])


def test_training_runs_both_stages_and_the_second_starts_from_the_firsts_best_weights(store, tmp_path, monkeypatch):
    seen = {}
    loss = VAEPretrained.loss

    def watched(self, batch, *, stage="fit", group="all", generator=None):
        if stage not in seen and self.training:
            seen[stage] = {key: value.clone() for key, value in self.network.named_parameters()}
        if self.training is False and stage == "restore":
            validated.append(({k: v.clone() for k, v in self.network.named_parameters()}, batch))
        return loss(self, batch, stage=stage, group=group, generator=generator)

    validated: list = []
    monkeypatch.setattr(VAEPretrained, "loss", watched)
    train = {"steps": 6, "batch_size": 8, "validate_every": 2, "checkpoint_every": 3, "warmup_steps": 2}
    fit("vae_pretrained", store, tmp_path, config={"channels": (8, 8)}, train=train, progress=False)
    history = pd.read_csv(tmp_path / HISTORY)
    assert history["stage"].tolist() == ["restore"] * 3 + ["fit"] * 3
    best = int(history[history["stage"] == "restore"]["val_error"].argmin())
    chosen = validated[best * len(validated) // 3][0]
    for key, value in seen["fit"].items():
        assert torch.equal(value, chosen[key])
    assert any(not torch.equal(value, seen["restore"][key]) for key, value in seen["fit"].items())


def test_presets_share_the_network_of_context_restoration():
    for preset in VAEPretrained.presets:
        sizes = []
        for cls in (VAEPretrained, ContextRestoration):
            method = create(cls.name, **{**cls.presets[preset].config, "size": (64, 64)})
            sizes.append({key: tuple(value.shape) for key, value in method.state_dict().items()})
        assert sizes[0] == sizes[1]
