"""The study of spatial and dense codes in 2D and 3D: one set of voxels, thresholds of the other half; its page."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from uad_data import ArrayStore, write_phantom
from uad_eval.errors import InputError
from uad_eval.experiment import ExperimentSettings, LatentShapes, MethodSpec, Network, run_latent_shapes
from uad_eval.experiment.slab import as_slices, central_slab
from uad_eval.metrics import dice, mae
from uad_eval.paper_tables import lambert_table
from uad_postproc import Context
from uad_postproc.pipelines import pipeline

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "spatial_dense_2d_3d.ipynb"
TINY = "channels=4+8,latent_dim=4,steps=3"
NETWORKS = {
    "Spatial 2D": Network(MethodSpec.parse(f"collapse_robust_vae:latent=spatial,batch_size=16,{TINY}"), 2),
    "Dense 3D": Network(MethodSpec.parse(f"collapse_robust_vae:latent=dense,batch_size=2,{TINY}"), 3),
}


@pytest.fixture(scope="session")
def fourteen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The table of fourteen very coarse phantom people, two of them with a tumour and two with MS."""
    folder = tmp_path_factory.mktemp("fourteen")
    write_phantom(folder, subjects=14, seed=0, spacing_mm=8.0)
    return folder / "cohort.csv"


@pytest.fixture(scope="module")
def settings(fourteen: Path, tmp_path_factory: pytest.TempPathFactory) -> ExperimentSettings:
    """Of a study on it."""
    folder = tmp_path_factory.mktemp("shapes")
    return ExperimentSettings(
        cohort=str(fourteen),
        methods=(MethodSpec("collapse_robust_vae"),),
        size=(16, 16, 16),
        scaling="minmax",
        preset="paper",
        pipeline="lambert2021",
        output=folder / "out",
        cache=folder / "cache",
        workers=1,
        accelerator="cpu",
    )


@pytest.fixture(scope="module")
def study(settings: ExperimentSettings) -> LatentShapes:
    """A finished study of a 2D and a 3D network."""
    return run_latent_shapes(settings, NETWORKS, pathologies=("ms", "tumour"), depth=8, progress=False)


@pytest.fixture(scope="module")
def whole(study: LatentShapes) -> ArrayStore:
    """The volumes before they were cropped."""
    return ArrayStore.open(study.store.folder)


def test_slices_are_the_volumes_taken_apart(whole: ArrayStore) -> None:
    slab = central_slab(whole, 8)
    assert slab.spec.size == (8, 16, 16)
    np.testing.assert_array_equal(slab.image, whole.image[:, :, 4:12])
    np.testing.assert_array_equal(slab.healthy_rows("train"), whole.healthy_rows("train"))
    rows = np.array([3, 1])
    flat = as_slices(slab, rows)
    assert flat.spec.size == (16, 16)
    for name in ("brain", "lesion"):
        np.testing.assert_array_equal(getattr(flat, name)[8:], getattr(slab, name)[1])
    np.testing.assert_array_equal(flat.image[8:], np.moveaxis(slab.image[1], 1, 0))
    np.testing.assert_array_equal(flat.index["lesion_voxels"], (flat.lesion > 0).sum(axis=(1, 2)))
    assert len({whole.digest, slab.digest, flat.digest, as_slices(slab, rows[::-1]).digest}) == 4
    with pytest.raises(InputError, match="found 17 for arrays of size"):
        central_slab(whole, 17)
    with pytest.raises(InputError, match="arrays of size \\(16, 16\\)"):
        central_slab(flat, 4)


def test_nobody_with_a_lesion_is_learned_from(study: LatentShapes) -> None:
    learned = np.concatenate([study.store.healthy_rows(split) for split in ("train", "val")])
    assert not set(learned) & set(study.rows)
    assert (study.store.index["lesion_voxels"].to_numpy()[learned] == 0).all()
    assert study.overview().loc["healthy, learned from", "slices"] == 8 * len(study.store.healthy_rows("train"))
    assert sorted(study.halves[study.pathologies == "ms"]) == [0, 1]


def test_each_half_is_judged_at_the_threshold_of_the_other(study: LatentShapes) -> None:
    steps = pipeline("lambert2021")
    results = study.evaluation.results
    for name in NETWORKS:
        for kind in ("ms", "tumour"):
            for half in (0, 1):
                of = study.pathologies == kind
                chosen, judged = of & (study.halves != half), np.flatnonzero(of & (study.halves == half))
                maps = study.images - study.reconstructions[name]
                grid = steps.threshold.grid
                scores = steps.score(np.where(study.brain, np.maximum(maps, 0), 0), Context(study.brain))
                np.testing.assert_allclose(scores, study.scores[name], atol=1e-5)
                inside = study.brain[chosen]
                every = [
                    dice(study.scores[name][chosen][inside] > np.float32(t), study.truths[chosen][inside]) for t in grid
                ]
                best = max(zip(every, grid, strict=True))[1]
                table = study.thresholds
                row = table[(table["method"] == name) & (table["pathology"] == kind) & (table["half"] == half)]
                assert row["threshold"].item() == pytest.approx(best)
                fitted = steps.with_threshold(best)
                masks = fitted.mask_from_scores(study.scores[name][judged], Context(study.brain[judged]))
                np.testing.assert_array_equal(masks, study.masks[name][judged])
                person = study.store.index["subject"].iloc[study.rows[judged[0]]]
                own = results[
                    (results["method"] == name) & (results["cohort"] == kind) & (results["subject"] == person)
                ]
                brain = study.brain[judged]
                value = own.loc[own["metric"] == "dice", "value"].item()
                assert value == pytest.approx(dice(masks[brain], study.truths[judged][brain]))
                error = mae(study.images[judged], study.reconstructions[name][judged], brain)
                assert own.loc[own["metric"] == "mae", "value"].item() == pytest.approx(error, rel=1e-4)


def test_done_trainings_are_read(study: LatentShapes) -> None:
    weights = sorted(study.settings.output.glob("runs/*/model.safetensors"))
    before = [path.stat().st_mtime_ns for path in weights]
    again = run_latent_shapes(study.settings, NETWORKS, pathologies=("ms", "tumour"), depth=8, progress=False)
    assert [path.stat().st_mtime_ns for path in weights] == before
    pd.testing.assert_frame_equal(again.evaluation.results, study.evaluation.results)


def test_studies_that_cannot_be_made(study: LatentShapes) -> None:
    for changes, kinds, message in (
        ({"pipeline": "poster2023"}, ("ms",), "expected one that chooses by labels"),
        ({}, ("textured",), "at least two people with a lesion to halve, found 1"),
    ):
        with pytest.raises(InputError, match=message):
            run_latent_shapes(replace(study.settings, **changes), NETWORKS, pathologies=kinds, depth=8, progress=False)


def test_the_table_has_the_papers_figures_beside_ours(study: LatentShapes) -> None:
    table = lambert_table(study.evaluation).set_index(["lesions", "network"])
    assert table.loc[("tumour", "Dense 3D"), "Dice, paper"] == "0.650 ± 0.190"
    each = study.evaluation.results.query("metric == 'dice' and aggregation == 'subject' and cohort == 'ms'")
    own = each[each["method"] == "Spatial 2D"]["value"]
    assert table.loc[("ms", "Spatial 2D"), "Dice"] == f"{own.mean():.3f} ± {own.std():.3f}"


@pytest.mark.filterwarnings("default")  # the kernel's machinery, not ours
def test_the_page_stands_alone(fourteen: Path, page_of: Callable[[Path, Mapping[str, str]], str]) -> None:
    small = {"size": "16 16 16", "depth": "8", "steps": "3", "slices": "batch_size=8", "cohort": str(fourteen)}
    html = page_of(NOTEBOOK, small | {"shared": "channels=4+8,latent_dim=4"})
    assert html.count("data:image/png;base64,") >= 4
    assert "0.463 ± 0.259" in html
    assert "over Spatial 2D" in html
