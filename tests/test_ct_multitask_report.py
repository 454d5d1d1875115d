"""The study of the CT line: scores of slices in parts, under the thesis's protocols; and its page."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from uad_data import write_phantom
from uad_eval import plots
from uad_eval.errors import InputError
from uad_eval.experiment import (
    Experiment,
    ExperimentSettings,
    MethodSpec,
    head_accuracy,
    run_experiment,
    slice_study,
)
from uad_eval.experiment.score_parts import CLASSIFICATION, COMBINED, OWN, RECONSTRUCTION

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "ct_multitask.ipynb"
SHORT = "steps=3,batch_size=8,channels=4+8,latent_dim=4"


@pytest.fixture(scope="session")
def ct_table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The table of twelve coarse CT phantoms, all splits with and without lesions but for train."""
    folder = tmp_path_factory.mktemp("phantom_ct")
    write_phantom(folder, subjects=12, spacing_mm=8.0, modality="ct")
    return folder / "cohort.csv"


@pytest.fixture(scope="module")
def small(ct_table: Path, tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """A finished experiment."""
    folder = tmp_path_factory.mktemp("small")
    settings = ExperimentSettings(
        cohort=str(ct_table),
        methods=(MethodSpec.parse("intensity"), MethodSpec.parse(f"multitask:balance=0.3,{SHORT}")),
        modalities=("ct",),
        size=(16, 16),
        slices="pixels:10",
        scaling="window:0:80",
        output=folder / "out",
        cache=folder / "cache",
        workers=1,
        accelerator="cpu",
    )
    return run_experiment(settings, progress=False)


def test_the_combined_score_is_the_methods_own(small: Experiment) -> None:
    study = slice_study(small)
    assert set(study.scores) == {0, 1}
    assert set(study.scores[0]) == {OWN}
    parts = study.parts()
    np.testing.assert_allclose(parts[COMBINED], 0.3 * parts[RECONSTRUCTION] + 0.7 * parts[CLASSIFICATION])
    samples = np.load(small.cells[1].folds[0].folder / "test_samples.npy")
    np.testing.assert_allclose(parts[COMBINED], samples, rtol=1e-4)
    curve = study.balance()["clinical"]
    figures = study.figures().set_index(["score", "protocol"])
    assert curve["auroc"].iloc[0] == pytest.approx(figures.loc[(CLASSIFICATION, "clinical"), "auroc"])
    assert curve["auroc"].iloc[-1] == pytest.approx(figures.loc[(RECONSTRUCTION, "clinical"), "auroc"])
    figure = plots.balance_plot(
        study.balance(), study.slices["brain_voxels"], {"x": parts[COMBINED]}, study.slices["lesion"], balance=0.3
    )
    assert plots.png(figure)


def test_dice_is_of_slices_with_a_lesion(small: Experiment) -> None:
    found = slice_study(small).dice()
    assert list(found["method"]) == [str(cell.spec) for cell in small.cells]
    lesions = (small.store.lesion[small.store.rows("test")] > 0).any(axis=(1, 2))
    assert (found["slices"] <= lesions.sum()).all()
    assert found["dice"].between(0, 1).all()


def test_accuracy_of_the_head_is_that_of_the_kept_validation(small: Experiment) -> None:
    accuracy = head_accuracy(small)
    assert list(accuracy["task"]) == ["rotation", "translation"]
    assert list(accuracy["chance"]) == pytest.approx([1 / 4, 1 / 3])
    history = next(iter(small.history().values()))
    assert accuracy["accuracy"][0] in set(history["val_rotation_accuracy"].dropna())


def test_only_slices_of_one_split_are_judged_so(small: Experiment) -> None:
    with pytest.raises(InputError, match="own split"):
        slice_study(replace(small, stores=small.stores * 2))
    with pytest.raises(InputError, match="expected multitask"):
        replace(slice_study(small), scores={}).parts()


@pytest.mark.filterwarnings("default")  # the kernel's machinery, not ours
def test_the_page_stands_alone(ct_table: Path, page_of: Callable[[Path, Mapping[str, str]], str]) -> None:
    methods = f"intensity vae_kl:{SHORT} vae_pretrained:{SHORT} multitask:{SHORT}"
    html = page_of(NOTEBOOK, {"size": "16 16", "methods": methods, "cohort": str(ct_table)})
    assert html.count("data:image/png;base64,") >= 5
    assert "the combined score (AUROC" in html
    assert "0.822" in html
