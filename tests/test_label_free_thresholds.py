"""Thresholds of an experiment that need no label: the healthy volume, and lesions made up in healthy people."""

from pathlib import Path

import numpy as np
import pytest

from uad_data import ArraySpec, ArrayStore, Cohort, build_arrays
from uad_eval.experiment import ExperimentSettings, MethodSpec, made_up_lesions
from uad_eval.experiment.folds import Fold, fold_stores, with_voxel_ml
from uad_eval.experiment.judge import fitted_pipelines
from uad_eval.experiment.made_up_lesions import held_out_mix, with_made_up_lesions
from uad_eval.experiment.training import run_fold
from uad_eval.healthy_volume import marked_volumes
from uad_models import create
from uad_postproc import Context

NATIVE_ML = 6.0**3 / 1000


def prepared(cohort: Cohort, cache: Path, size: tuple[int, ...]) -> ArrayStore:
    return with_voxel_ml(build_arrays(cohort, ArraySpec(size=size), cache=cache, progress=False), cohort)


@pytest.fixture(scope="module")
def store(small_phantom: Cohort, tmp_path_factory: pytest.TempPathFactory) -> ArrayStore:
    return prepared(small_phantom, tmp_path_factory.mktemp("slices"), (32, 32))


@pytest.mark.parametrize("size", [(96, 96), (72, 80, 72)])
def test_brains_measure_what_they_measure_on_the_scans_own_grid(
    small_phantom: Cohort, tmp_path: Path, size: tuple[int, ...]
) -> None:
    store = prepared(small_phantom, tmp_path, size)
    voxels = np.count_nonzero(store.brain.reshape(len(store), -1), axis=1)
    framed, native = voxels * store.index["voxel_ml"], store.index["brain_voxels"] * NATIVE_ML
    scans = [each.groupby(store.index["scan"]).sum() for each in (framed, native)]
    np.testing.assert_allclose(scans[0], scans[1], rtol=0.03)


def test_healthy_validation_scans_get_the_stated_volume_marked(store: ArrayStore, tmp_path: Path) -> None:
    view, spec, stated = fold_stores(store, folds=2, validation_share=0.5)[0], MethodSpec("intensity"), 30.0
    settings = ExperimentSettings(
        methods=(spec,), size=(32, 32), accelerator="cpu", output=tmp_path, false_positive_ml=stated
    )
    fold = Fold(1, tmp_path)
    run_fold(fold, spec, 0, view, settings, progress=False)
    rows, healthy = view.rows("val"), view.healthy_rows("val")
    scores = np.load(tmp_path / "val_scores.npy")[np.isin(rows, healthy)]
    index, brain = view.index.iloc[healthy], view.brain[healthy]
    steps = fitted_pipelines(fold, settings)["healthy_volume"]

    below = np.unique(scores[brain])
    below = below[below < np.float32(steps.threshold.value)][-1]
    volumes = [
        marked_volumes(each.mask_from_scores(scores, Context(brain)), index["voxel_ml"], index["scan"]).mean()
        for each in (steps, steps.with_threshold(float(below)))
    ]
    assert volumes[0] <= stated
    assert volumes[0] >= 0.99 * stated or volumes[1] > stated


def test_made_up_lesions_are_in_healthy_brains_and_the_same_every_time(store: ArrayStore) -> None:
    rows = store.healthy_rows("val")
    mix = held_out_mix(create("intensity", in_channels=1, size=(32, 32)), ("flair",))
    first, again = (with_made_up_lesions(store, rows, mix=mix) for _ in range(2))
    np.testing.assert_array_equal(first.image, again.image)
    assert (first.index["lesion_voxels"] == 0).all()
    assert sorted(first.index["scan"] * 1000 + first.index["slice"]) == sorted(
        store.index["scan"].iloc[rows] * 1000 + store.index["slice"].iloc[rows]
    )
    lesion = first.lesion > 0
    assert 0.5 < lesion.any(axis=(1, 2)).mean() < 1
    assert not lesion[~first.brain].any()
    spotless = ~lesion.any(axis=(1, 2))
    whose = {key: row for row, key in enumerate(zip(store.index["scan"], store.index["slice"], strict=True))}
    before = store.image[[whose[key] for key in zip(first.index["scan"], first.index["slice"], strict=True)]]
    change = np.abs(first.image.astype(np.float32) - before)[:, 0]
    assert (change[lesion] > 0).mean() > 0.9
    # A change too faint to be called a lesion may be left in an image that has none; some have no change at all.
    assert change[spotless & first.brain.any(axis=(1, 2))].mean() < 0.02 * change[lesion].mean()
    assert (change.max(axis=(1, 2)) == 0).sum() >= 2


def test_made_up_lesions_in_no_more_rows_than_a_threshold_needs(
    store: ArrayStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(made_up_lesions, "_MOST_ROWS", 3)
    rows = store.healthy_rows("val")
    mix = held_out_mix(create("intensity", in_channels=1, size=(32, 32)), ("flair",))
    made = with_made_up_lesions(store, rows, mix=mix)
    drawn = np.random.default_rng(0).permutation(rows)[:3]
    assert (len(made), made.image.shape[0], made.lesion.shape[0]) == (3, 3, 3)
    assert list(made.index["slice"]) == list(store.index["slice"].iloc[drawn])


def test_a_method_meets_the_kinds_it_was_not_trained_on() -> None:
    learned = create("synthetic_unet", in_channels=1, size=(32, 32), held_out=("nsa", "deformation"))
    assert set(held_out_mix(learned, ("flair",)).weights) == {"nsa", "deformation"}
    plain = create("intensity", in_channels=1, size=(32, 32))
    assert len(held_out_mix(plain, ("flair",)).weights) > 5
    assert held_out_mix(plain, ("flair", "pd")) is None
