"""What is made of images once is what would be made of them each time, in the same batches, and a run resumes on it."""

import csv

import numpy as np
import pytest
import torch

from uad_models import training_stage
from uad_models.extracted import Extracted, pays
from uad_models.feeding import Feeder
from uad_models.methods.vqvae_transformer import VQVAETransformer
from uad_models.run_folder import HISTORY, MODEL
from uad_models.train_config import TrainConfig
from uad_models.training import fit

CONFIG = {"channels": (8, 8), "codes": 8, "code_dim": 4, "width": 8, "depth": 1, "heads": 1, "told_height": True}
TRAIN = {"steps": 12, "batch_size": 8, "validate_every": 3, "checkpoint_every": 2, "warmup_steps": 2}


def means(batch):
    """Stands for a method's extraction."""
    return {"mean": batch["image"].mean(dim=(1, 2, 3)), "height": batch["height"]}


@pytest.mark.parametrize(("rank", "world"), [(0, 1), (1, 2)])
def test_batches_are_those_of_the_images(store, rank, world):
    feeder = Feeder(store, store.rows("train"), batch_size=6, seed=3, rank=rank, world=world, covariates=("height",))
    made = Extracted(feeder, means)
    assert np.array_equal(made.rows, feeder.rows)
    for index in (0, 7):
        torch.testing.assert_close(made.batch(index), means(feeder.batch(index)))
    for found, batch in zip(made.sweep(), feeder.sweep(), strict=True):
        torch.testing.assert_close(found, means(batch))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"steps": 10, "batch_size": 8}, True),
        ({"steps": 9, "batch_size": 8}, False),
        ({"steps": 5, "batch_size": 8, "accumulate": 2}, True),
        ({"steps": 1, "batch_size": 8, "minutes": 1.0}, True),
        ({"steps": 10, "batch_size": 8, "augmentation": "nnunet"}, False),
        ({"steps": 10, "batch_size": 8, "patch": (8, 8)}, False),
    ],
)
def test_images_that_stay_the_same_and_are_all_read_are_extracted(settings, expected):
    assert pays(TrainConfig(**settings), rows=80) == expected


@pytest.fixture
def encoded(monkeypatch):
    """How many images were encoded to train or validate the prior."""
    counts, real = [], VQVAETransformer.extract

    def extract(self, batch, *, stage):
        counts.append(len(batch["image"]))
        return real(self, batch, stage=stage)

    monkeypatch.setattr(VQVAETransformer, "extract", extract)
    return counts


def test_the_prior_trains_on_codes_made_once(store, tmp_path, encoded, monkeypatch):
    once = fit("vqvae_transformer", store, tmp_path / "once", config=CONFIG, train=TRAIN, progress=False)
    assert sum(encoded) == sum(len(store.healthy_rows(split)) for split in ("train", "val"))
    encoded.clear()
    monkeypatch.setattr(training_stage, "pays", lambda config, rows: False)
    often = fit("vqvae_transformer", store, tmp_path / "often", config=CONFIG, train=TRAIN, progress=False)
    assert sum(encoded) > TRAIN["steps"] * TRAIN["batch_size"]
    for name, weight in once.state_dict().items():
        torch.testing.assert_close(weight, often.state_dict()[name])


def losses(run):
    """The history but for its times."""
    with open(run / HISTORY, newline="") as file:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]


@pytest.mark.parametrize("interrupt_at", [1, 4])
def test_a_prior_that_was_interrupted_resumes_exactly(store, tmp_path, monkeypatch, interrupt_at):
    train = TRAIN | {"ema_decay": 0.9}
    fit("vqvae_transformer", store, tmp_path / "whole", config=CONFIG, train=train, progress=False)
    real, calls = VQVAETransformer.loss, []

    def loss(self, batch, *, stage="vqvae", **which):
        if stage == "prior" and self.training:
            calls.append("codes" in batch)
            if len(calls) == interrupt_at + 1:
                raise KeyboardInterrupt
        return real(self, batch, stage=stage, **which)

    with monkeypatch.context() as patch:
        patch.setattr(VQVAETransformer, "loss", loss)
        with pytest.raises(KeyboardInterrupt):
            fit("vqvae_transformer", store, tmp_path / "cut", config=CONFIG, train=train, progress=False)
    fit("vqvae_transformer", store, tmp_path / "cut", config=CONFIG, train=train, progress=False)
    assert all(calls)
    assert (tmp_path / "whole" / MODEL).read_bytes() == (tmp_path / "cut" / MODEL).read_bytes()
    assert losses(tmp_path / "whole") == losses(tmp_path / "cut")
