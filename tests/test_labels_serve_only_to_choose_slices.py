"""Before the test, labels say which slices show no lesion, and nothing else; slices with a lesion are not looked at."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from uad_data import ArraySpec, ArrayStore, Cohort, build_arrays
from uad_eval.experiment import ExperimentSettings, MethodSpec
from uad_eval.experiment.folds import Fold, fold_stores, with_voxel_ml
from uad_eval.experiment.training import run_fold
from uad_eval.protocols import LABEL_FREE, LESION_VALIDATION
from uad_models import load_run

# Weights are kept at the better of two validations: that is the choice of the model.
METHOD = MethodSpec("synthetic_unet", {"steps": "6", "validate_every": "3", "batch_size": "4"})


def trained(folder: Path, store: ArrayStore) -> tuple[dict[str, np.ndarray], dict[str, Any], str]:
    """Weights, thresholds and losses of a training."""
    settings = ExperimentSettings(methods=(METHOD,), size=(32, 32), accelerator="cpu", output=folder)
    fold = Fold(0, folder)
    run_fold(fold, METHOD, 0, store, settings, progress=False)
    weights = {name: tensor.numpy() for name, tensor in load_run(fold.run)[0].state_dict().items()}
    lines = (fold.run / "history.csv").read_text().splitlines()
    return weights, fold.facts()["thresholds"], "\n".join(line.rsplit(",", 1)[0] for line in lines)


@pytest.fixture(scope="module")
def store(small_phantom: Cohort, tmp_path_factory: pytest.TempPathFactory) -> ArrayStore:
    cache = tmp_path_factory.mktemp("labels")
    made = build_arrays(small_phantom, ArraySpec(size=(32, 32)), cache=cache, progress=False)
    # In the phantom's own split only healthy people are trained on; in a fold, people with and without lesions.
    return fold_stores(with_voxel_ml(made, small_phantom), folds=2, validation_share=0.4)[0]


@pytest.fixture(scope="module")
def honest(store: ArrayStore, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, ...]:
    return trained(tmp_path_factory.mktemp("honest"), store)


def assert_same(found: tuple[Any, ...], honest: tuple[Any, ...]) -> None:
    weights, thresholds, history = found
    assert history == honest[2]
    assert {name: array.tobytes() for name, array in weights.items()} == {
        name: array.tobytes() for name, array in honest[0].items()
    }
    assert {name: thresholds[name] for name in LABEL_FREE} == {name: honest[1][name] for name in LABEL_FREE}


def test_labels_replaced_by_noise_change_nothing(store: ArrayStore, honest: tuple[Any, ...], tmp_path: Path) -> None:
    """The rows called lesion-free are fixed; every voxel's label, and every lesion's size, is drawn anew."""
    rng = np.random.default_rng(0)
    sizes = store.index["lesion_voxels"].to_numpy()
    noise = replace(
        store,
        lesion=rng.integers(0, 2, store.lesion.shape, dtype=np.uint8),
        index=store.index.assign(lesion_voxels=np.where(sizes > 0, rng.integers(1, 999, sizes.shape), sizes)),
    )
    found = trained(tmp_path, noise)
    assert_same(found, honest)
    assert found[1][LESION_VALIDATION] != honest[1][LESION_VALIDATION]  # the noise did reach what may see labels


def test_slices_with_a_lesion_are_not_looked_at(store: ArrayStore, honest: tuple[Any, ...], tmp_path: Path) -> None:
    image = np.array(store.image)
    sick = np.flatnonzero((store.index["lesion_voxels"] != 0) & (store.index["split"] != "test"))
    assert set(store.index["split"].iloc[sick]) == {"train", "val"}
    noise = np.random.default_rng(0).random(image[sick].shape)
    image[sick] = noise * store.brain[sick][:, None]
    assert_same(trained(tmp_path, replace(store, image=image)), honest)
