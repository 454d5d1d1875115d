import numpy as np
import pytest

from uad_eval import Evaluation, InputError, RunKey, evaluate, evaluate_reconstruction
from uad_eval.metrics import iou
from uad_eval.paper_tables import GUBAIDULLIN2019, LAMBERT2021, iou_table, lambert_table, over_people

LABELLED = "lesion_validation"


@pytest.fixture
def studied(cohort):
    """Two networks of the paper's on "ms", and one that it has not."""
    parts = []
    for place, method in enumerate(("Spatial 2D", "Dense 3D", "dae")):
        maps = cohort.maps(strength=2.0 + place, seed=place)
        key = RunKey(cohort="ms", method=method)
        masks = {LABELLED: maps > 2, "per_image": maps > 1}
        parts.append(evaluate(maps, cohort.truth, cohort.brain, cohort.subjects, key=key, masks=masks, draws=50))
        found = (cohort.image, cohort.image * 0.9, cohort.brain, cohort.subjects)
        parts.append(evaluate_reconstruction(*found, key=key, metric="mae", pathologies=cohort.pathologies, draws=50))
    return Evaluation.concat(parts)


def test_mean_and_deviation_over_people(studied):
    table = over_people(studied, {"dice": LABELLED, "mae": ""}).set_index("method")
    rows = studied.results[(studied.results["aggregation"] == "subject") & (studied.results["method"] == "dae")]
    dice = rows.loc[(rows["metric"] == "dice"), :].query("protocol == @LABELLED")["value"].dropna()
    assert table.loc["dae", "dice"] == pytest.approx(dice.mean())
    assert table.loc["dae", "dice_sd"] == pytest.approx(np.std(dice, ddof=1))
    assert list(table.columns) == ["cohort", "people", "dice", "dice_sd", "mae", "mae_sd"]
    with pytest.raises(InputError, match="metric 'dice' under protocol 'oracle'"):
        over_people(studied, {"dice": "oracle"})


def test_the_published_figures_stand_beside_ours(studied):
    table = lambert_table(studied).set_index("network")
    found = over_people(studied, {"mae": ""}).set_index("method")
    assert table.loc["Dense 3D", "Dice, paper"] == "0.463 ± 0.259"
    assert table.loc["Spatial 2D", "MAE, paper"] == "0.049"
    assert table.loc["Dense 3D", "MAE"] == f"{found.loc['Dense 3D', 'mae']:.3f}"
    assert table.loc["dae", "Dice, paper"] == "–"
    best = studied.results.query("metric == 'best_dice' and method == 'dae' and aggregation == 'pooled'")[
        "value"
    ].item()
    assert table.loc["dae", "⌈Dice⌉"] == f"{best:.3f}"
    assert len(LAMBERT2021) == 8


def test_iou_of_each_images_own_masks(studied, cohort):
    table = iou_table(studied, GUBAIDULLIN2019, cohort="ms").set_index("method")
    maps = cohort.maps(strength=4.0, seed=2)
    value = iou((maps > 1)[cohort.brain], cohort.truth[cohort.brain])
    assert table.loc["dae", "IoU, all voxels"].startswith(f"{value:.3f} [")
    assert list(table["IoU, paper"]) == ["–", "–", "0.326"]
    best = studied.results.query("metric == 'best_dice' and method == 'dae' and aggregation == 'pooled'")[
        "value"
    ].item()
    assert table.loc["dae", "⌈IoU⌉ of the residual"] == f"{best / (2 - best):.3f}"
