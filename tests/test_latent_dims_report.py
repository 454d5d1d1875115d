"""The study of the code's length: one method at several sizes, units in use, made-up lesions; and its page."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from uad_eval import plots
from uad_eval.errors import InputError
from uad_eval.experiment import (
    Experiment,
    ExperimentSettings,
    MethodSpec,
    code_use,
    made_up_trial,
    run_experiment,
    sweep,
)
from uad_models import load_run

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "latent_dims.ipynb"
VAE = MethodSpec.parse("vae:steps=6,latent_dim=4,batch_size=4")


@pytest.fixture(scope="module")
def small(small_table: Path, tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """A finished experiment."""
    folder = tmp_path_factory.mktemp("small")
    settings = ExperimentSettings(
        cohort=str(small_table),
        methods=(MethodSpec.parse("intensity"), VAE),
        size=(32, 32),
        output=folder / "out",
        cache=folder / "cache",
        workers=1,
        accelerator="cpu",
    )
    return run_experiment(settings, progress=False)


def test_variants_differ_in_the_setting_alone() -> None:
    found = sweep(MethodSpec.parse("vae:steps=5"), "latent_dim", [64, 8, 8], steps=300, batch_size=4)
    assert list(found) == [8, 64]
    assert found[64].settings == {"steps": "5", "batch_size": "4", "latent_dim": "64"}
    with pytest.raises(InputError, match="all above 0, found \\[0\\]"):
        sweep(VAE, "steps", [0])
    with pytest.raises(InputError, match="latent_dim is what is varied"):
        sweep(VAE, "latent_dim", [8])


def test_units_in_use_are_counted_over_healthy_validation_images(small: Experiment) -> None:
    use = code_use(small)
    assert list(use["method"]) == [str(VAE)]
    method, _ = load_run(small.cells[1].folds[0].run)
    store = small.store
    images = torch.from_numpy(store.image[store.healthy_rows("val")].astype(np.float32))
    with torch.no_grad():
        mean, log_variance = (code.numpy().astype(float) for code in method.network.encode(images))
    assert use["units"][0] == 4
    assert use["active"][0] == (mean.var(axis=0) > 0.01).sum()
    nats = 0.5 * (mean**2 + np.exp(log_variance) - 1 - log_variance)
    assert use["nats"][0] == pytest.approx(nats.sum(axis=1).mean(), rel=1e-4)


def test_made_up_lesions_meet_the_same_people(small: Experiment) -> None:
    made = made_up_trial(small, VAE, count=3)
    assert made is not None
    samples = made.evaluation.samples
    slices = samples[samples["level"] == "slice"]
    healthy = small.store.healthy_rows("test")
    assert (~slices["anomalous"]).sum() == len(healthy)
    assert 0 < slices["anomalous"].sum() <= len(healthy)
    assert set(slices["subject"]) == set(small.store.index["subject"].iloc[healthy])
    before = np.load(small.cells[1].folds[0].folder / "test_samples.npy")[np.isin(small.store.rows("test"), healthy)]
    np.testing.assert_allclose(slices.loc[~slices["anomalous"], "score"], before)
    results = made.evaluation.results
    assert results.loc[results["metric"] == "average_precision", "value"].notna().any()
    sizes = made.shown["truths"].sum(axis=(1, 2))
    assert len(sizes) == 3
    assert list(sizes) == sorted(sizes)
    assert sizes.min() > 0
    assert plots.png(plots.gallery(**made.shown))
    with pytest.raises(InputError, match="expected one of intensity"):
        made_up_trial(small, MethodSpec.parse("ae"))


def test_a_sequence_without_a_prior_has_no_made_up_lesions(small: Experiment) -> None:
    store = small.store
    other = replace(store, spec=replace(store.spec, modalities=("petscan",)))
    assert made_up_trial(replace(small, stores=(other,)), VAE) is None


@pytest.mark.filterwarnings("default")  # the kernel's machinery, not ours
def test_the_page_stands_alone(small_table: Path, page_of: Callable[[Path, Mapping[str, str]], str]) -> None:
    small = {"size": "32 32", "steps": "4", "sizes": "2 4", "robust_sizes": "4", "slices": "fraction:0.25"}
    html = page_of(NOTEBOOK, small | {"cohort": str(small_table)})
    assert html.count("data:image/png;base64,") >= 6
    assert "average precision is highest at" in html
    assert "Units in use of a code of 4" in html
