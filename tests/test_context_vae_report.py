"""The study of context autoencoders: masks that each image makes by itself, beside the paper's figures; its page."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from uad_eval.errors import InputError
from uad_eval.experiment import ExperimentSettings, ImageMasks, MethodSpec, run_image_masks
from uad_eval.metrics import iou
from uad_eval.paper_tables import GUBAIDULLIN2019, iou_table
from uad_models.run_folder import load_run
from uad_postproc import Context
from uad_postproc.pipelines import pipeline
from uad_postproc.steps import MinMaxResidual, Residual

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "context_vae.ipynb"
METHODS = {
    "cvae": MethodSpec.parse("cvae:channels=4+8,latent_dim=4,steps=3"),
    "intensity": MethodSpec.parse("intensity"),
}


@pytest.fixture(scope="module")
def study(small_table: Path, tmp_path_factory: pytest.TempPathFactory) -> ImageMasks:
    """A finished study of a network and a baseline, on all lesions."""
    folder = tmp_path_factory.mktemp("masks")
    settings = ExperimentSettings(
        cohort=str(small_table),
        methods=tuple(METHODS.values()),
        size=(32, 32),
        scaling="minmax-slice",
        pipeline="context_vae",
        output=folder / "out",
        cache=folder / "cache",
        workers=1,
        accelerator="cpu",
    )
    return run_image_masks(settings, METHODS, residuals=("matched", "plain"), progress=False)


def test_the_masks_of_a_network_come_from_image_and_reconstruction(study: ImageMasks) -> None:
    model, _ = load_run(study.trained["cvae"].run)
    images = study.store.image[study.rows].astype(np.float32)
    context = Context(study.brain, image=images, reconstruction=study.reconstructions["cvae"][:, None])
    maps = np.zeros(study.brain.shape, np.float32)  # of no effect where there is a reconstruction
    matched = pipeline("context_vae")
    plain = replace(matched, steps=[Residual() if isinstance(s, MinMaxResidual) else s for s in matched.steps])
    np.testing.assert_array_equal(study.masks["cvae"], matched.mask(maps, context))
    np.testing.assert_array_equal(study.masks["cvae, plain"], plain.mask(maps, context))
    np.testing.assert_array_equal(study.masks["intensity"], matched.mask(images[:, 0], Context(study.brain)))
    assert list(study.masks) == ["cvae", "cvae, plain", "intensity"]
    assert (study.masks["cvae, plain"] != study.masks["cvae"]).any()
    assert sum(parameter.numel() for parameter in model.parameters()) == study.trained["cvae"].parameters
    assert list(study.reconstructions) == ["cvae"]
    test = study.store.rows("test")
    assert set(study.rows) == set(test[study.store.index["lesion_voxels"].to_numpy()[test] > 0])


def test_the_figure_is_that_of_the_masks(study: ImageMasks) -> None:
    results = study.evaluation.results.query("metric == 'iou' and method == 'cvae' and aggregation == 'pooled'")
    kind = study.pathologies[0]
    of = study.pathologies == kind
    inside = study.brain[of]
    expected = iou(study.masks["cvae"][of][inside], study.truths[of][inside])
    row = results[results["cohort"] == kind]
    assert row["protocol"].item() == "per_image"
    assert row["value"].item() == pytest.approx(expected)
    table = iou_table(study.evaluation, GUBAIDULLIN2019, cohort=kind).set_index("method")
    assert table.loc["cvae", "IoU, all voxels"].startswith(f"{expected:.3f} [")
    assert list(table["IoU, paper"]) == ["0.417", "–", "–"]


def test_the_slice_that_is_shown_has_the_most_lesion(study: ImageMasks) -> None:
    shown = study.middle_people("iou")
    assert shown["images"].shape == (len(set(study.pathologies)), 32, 32)
    for title, truth in zip(shown["titles"], shown["truths"], strict=True):
        own = study.truths[study.subjects == title.split(", ")[1]]
        assert truth.sum() == own.sum(axis=(1, 2)).max() > 0


def test_studies_that_cannot_be_made(study: ImageMasks) -> None:
    with pytest.raises(InputError, match="expected a residual of matched range"):
        run_image_masks(replace(study.settings, pipeline="poster2023"), METHODS, progress=False)
    with pytest.raises(InputError, match="found measles; there are"):
        run_image_masks(study.settings, METHODS, pathologies=("measles",), progress=False)


@pytest.mark.filterwarnings("default")  # the kernel's machinery, not ours
def test_the_page_stands_alone(small_table: Path, page_of: Callable[[Path, Mapping[str, str]], str]) -> None:
    small = {"size": "32 32", "steps": "2", "pathologies": "", "cohort": str(small_table)}
    html = page_of(NOTEBOOK, small | {"dae": "channels=4+4,pools=1+2", "cvae": "channels=4+8", "baseline": "intensity"})
    assert html.count("data:image/png;base64,") >= 6
    assert "0.417" in html
    assert "**cvae** over dae" in html or "<strong>cvae</strong> over dae" in html
