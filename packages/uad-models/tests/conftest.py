"""A cohort of small balls that stand for brains, and toy methods whose training can be worked out by hand."""

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from uad_data.arrays import ArraySpec, ArrayStore, build_arrays
from uad_data.cohort import Cohort
from uad_data.corruptions.lesions import lesion_mix
from uad_models import methods
from uad_models.method import Method, Preset

QUICK = {"steps": 6, "batch_size": 8, "validate_every": 4, "checkpoint_every": 2, "warmup_steps": 2}
SPLITS = ("train", "train", "train", "train", "val", "val", "test", "test")


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def cohort_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight subjects, FLAIR and T1, 20 slices of 24 x 28; every second one has a lesion in four slices."""
    folder = tmp_path_factory.mktemp("cohort")
    random = np.random.default_rng(0)
    axes = [np.linspace(-1, 1, side) for side in (28, 24, 20)]
    i, j, k = np.meshgrid(*axes, indexing="ij")
    brain = i**2 + j**2 + k**2 < 0.9
    rows = []
    for number, split in enumerate(SPLITS):
        lesion = np.zeros(brain.shape, np.uint8)
        lesion[5:11, 14:19, 8:12] = number % 2
        flair = brain * (1 + 0.3 * np.sin(3 * i + random.normal()) + 0.05 * random.normal(size=brain.shape)) + lesion
        volumes = {"flair": flair, "t1": brain * (2 - flair / 2), "brain": brain, "lesion": lesion}
        row = {"subject": f"s{number}", "split": split, "pathology": "tumour" if number % 2 else "healthy"}
        for name, volume in volumes.items():
            kind = np.float32 if name in ("flair", "t1") else np.uint8
            path = folder / f"s{number}_{name}.nii.gz"
            nib.save(nib.Nifti1Image(volume.astype(kind), np.diag((-2.0, 2.0, 3.0, 1.0))), path)
            row[name if name in ("brain", "lesion") else f"image_{name}"] = path.name
        rows.append(row)
    path = folder / "cohort.csv"
    Cohort(pd.DataFrame(rows), folder).write(path)
    return path


@pytest.fixture(scope="session")
def store(cohort_csv: Path, tmp_path_factory: pytest.TempPathFactory) -> ArrayStore:
    """Its FLAIR slices, 16 x 16."""
    spec = ArraySpec(size=(16, 16))
    return build_arrays(Cohort.read(cohort_csv), spec, cache=tmp_path_factory.mktemp("cache"), progress=False)


class Toy(Method):
    """Two stages: first a model and its opponent in turn, then a prior that uses the model; random throughout."""

    name = "toy"
    stages = ("codes", "prior")
    presets: ClassVar = {"quick": Preset(train=QUICK)}
    calls: ClassVar[list[tuple[str, str, bool]]] = []
    interrupt_at: ClassVar[int | None] = None

    def __init__(self, config):
        super().__init__(config)
        self.model, self.opponent, self.prior = (nn.Linear(1, 1) for _ in range(3))

    def parameter_groups(self, stage):
        if stage == "prior":
            return {"all": list(self.prior.parameters())}
        return {"model": list(self.model.parameters()), "opponent": list(self.opponent.parameters())}

    def loss(self, batch, *, stage="fit", group="all", generator=None):
        if self.training:
            self.calls.append((stage, group, torch.is_grad_enabled()))
            if len(self.calls) == self.interrupt_at:
                raise KeyboardInterrupt
        mean = batch["image"].flatten(1).mean(dim=1, keepdim=True)
        code = self.model(mean + torch.randn(mean.shape, generator=generator))
        score = self.opponent(nn.functional.dropout(code, training=self.training))
        losses = {"model": (code - 3).square().mean() + score.mean(), "opponent": (score - 1).square().mean()}
        if stage == "prior":
            return {"loss": (self.prior(code) - mean).square().mean(), "code": code.mean()}
        return {"loss": losses[group]}


@pytest.fixture
def toy(monkeypatch):
    monkeypatch.setitem(methods.METHODS, "toy", Toy)
    monkeypatch.setattr(Toy, "calls", [])
    return Toy


class Hill(Method):
    """One weight that starts at 0 and overshoots its best value, 1."""

    name = "hill"

    def __init__(self, config):
        super().__init__(config)
        self.weight = nn.Parameter(torch.zeros(()))

    def loss(self, batch, *, stage="fit", group="all", generator=None):
        return {"loss": (self.weight - 1).square()}


class Level(Hill):
    """The same weight learns the mean intensity; every image counts alike, however batches are cut."""

    name = "level"

    def loss(self, batch, *, stage="fit", group="all", generator=None):
        return {"loss": (batch["image"] - self.weight).square().mean()}


@pytest.fixture
def hill(monkeypatch):
    monkeypatch.setitem(methods.METHODS, "hill", Hill)
    monkeypatch.setitem(methods.METHODS, "level", Level)
    return {"steps": 30, "learning_rate": 0.25, "warmup_steps": 0, "schedule": "constant", "validate_every": 1}


@pytest.fixture
def kinds_used(monkeypatch: pytest.MonkeyPatch) -> Callable[[Method, dict[str, torch.Tensor]], set[str]]:
    """What kinds of made-up lesions a method's loss asks for, over 15 batches."""
    used: set[str] = set()
    for kind, function in list(lesion_mix.KINDS.items()):

        def spy(*args, _kind=kind, _function=function, **options):
            used.add(_kind)
            return _function(*args, **options)

        monkeypatch.setitem(lesion_mix.KINDS, kind, spy)

    def kinds(method: Method, batch: dict[str, torch.Tensor]) -> set[str]:
        used.clear()
        generator = torch.Generator().manual_seed(0)
        for _ in range(15):
            method.loss(batch, generator=generator)
        return set(used)

    return kinds
