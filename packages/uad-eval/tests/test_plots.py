import io

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from uad_eval import InputError, by_pathology, leaderboard, plots
from uad_eval.plots.style import COLOURS, in_order, method_lines, wrapped


@pytest.fixture
def cases(cohort):
    rows = [0, 2, 8]
    maps = cohort.maps(strength=3, seed=0)
    return cohort.image[rows], maps[rows], maps[rows] > 1.5, cohort.truth[rows]


def texts(figure):
    return [text.get_text() for axis in figure.axes for text in (axis.title, axis._left_title, axis.xaxis.label)]


def drawn(figure):
    """The figure as an array; fails if it cannot be rendered."""
    return plt.imread(io.BytesIO(plots.png(figure)))


def test_no_figure_stays_open_and_no_setting_is_changed(evaluation, cases):
    before = dict(mpl.rcParams)
    for figure in (
        plots.precision_recall_plot(evaluation),
        plots.roc_plot(evaluation),
        plots.distance_histograms(evaluation),
        plots.gallery(*cases),
    ):
        assert plt.imread(io.BytesIO(figure._repr_png_())).std() > 0.01
    assert plt.get_fignums() == []
    assert dict(mpl.rcParams) == before


def test_gallery_shows_cases_front_up_and_right_on_the_left(cases):
    images, maps, masks, truths = cases
    figure = plots.gallery(images, maps, masks, truths, reconstructions=images * 0.5, titles=["a", "b", "c"])
    panels = np.array(figure.axes[:18]).reshape(3, 6)
    shown = panels[1, 0].images[0]
    np.testing.assert_array_equal(shown.get_array(), images[1][:, ::-1])
    assert shown.origin == "lower"
    np.testing.assert_array_equal(panels[1, 1].images[0].get_array(), images[1][:, ::-1] * np.float32(0.5))
    assert panels[0, 1].images[0].get_clim() == panels[0, 0].images[0].get_clim()
    assert len({panel.images[0].get_clim() for panel in panels[:, 2]}) == 1
    assert [panel.get_ylabel() for panel in panels[:, 0]] == ["a", "b", "c"]


def test_gallery_tells_hits_false_alarms_and_misses_apart(cases):
    images, maps, _, truths = cases
    masks = np.roll(truths, 1, axis=1)
    last = plots.gallery(images, maps, masks, truths).axes[4]
    hit, false, missed = (layer.get_array()[..., 3][:, ::-1] > 0 for layer in last.images[1:])
    np.testing.assert_array_equal(hit, (masks & truths)[0])
    np.testing.assert_array_equal(false, (masks & ~truths & 1)[0])
    np.testing.assert_array_equal(missed, (truths & ~masks & 1)[0])


def test_side_by_side_scales_each_method_by_itself(cases):
    images, maps, _, truths = cases
    figure = plots.side_by_side(images, truths, {"ae": maps, "vae:latent_dim=128,x=1": maps * 10}, titles=["a"] * 3)
    small, large = (figure.axes[i].images[0].get_clim()[1] for i in (1, 2))
    assert large == pytest.approx(10 * small)
    outline = figure.axes[0].images[1].get_array()[..., 3]
    assert 0 < outline.sum() <= truths[0].sum()


@pytest.mark.parametrize("changed", [0, 1, 2, 3])
def test_gallery_refuses_arrays_that_do_not_fit(cases, changed):
    given = [array[:, :-1] if i == changed else array for i, array in enumerate(cases)]
    with pytest.raises(InputError, match="expected the shape of the images"):
        plots.gallery(*given)
    with pytest.raises(InputError, match="at least one case"):
        plots.gallery(*(array[:0] for array in cases))


def test_curves_name_methods_in_order_with_their_figures_and_chance(evaluation):
    r = evaluation.results
    pooled = r[(r["subject"] == "pooled") & (r["method"] == "strong")].set_index("metric")["value"]
    for plot, metric, chance in (
        (plots.precision_recall_plot, "average_precision", pooled["prevalence"].iloc[0]),
        (plots.roc_plot, "auroc", 0.5),
    ):
        figure = plot(evaluation, order=["weak:size=2", "strong"])
        labels = [text.get_text() for text in figure.legends[0].get_texts()]
        assert [label.split(",")[0] for label in labels[:3]] == ["weak:size=2", "strong", "<baseline>"]
        assert f"{pooled[metric].mean():.3f}" in labels[1]
        assert labels[3] == f"chance ({chance:.3f})"
        assert len(figure.axes[0].lines) == 5  # two seeds of one method, two of one each, chance


def test_histograms_have_a_panel_per_method_with_its_figure(evaluation):
    figure = plots.distance_histograms(evaluation, order=["strong"])
    assert len(figure.axes) == 3
    area = evaluation.results.query("metric == 'slice_auroc' and method == 'strong' and seed == 0")["value"].item()
    assert figure.axes[0].get_title(loc="left") == f"strong\nAUROC {area:.3f}"
    heights = [
        patch.get_height() * patch.get_width() for patch in figure.axes[0].patches if hasattr(patch, "get_height")
    ]
    assert sum(heights) == pytest.approx(2)  # each kind has area 1
    with pytest.raises(InputError, match="no samples of level 'voxel'"):
        plots.distance_histograms(evaluation, level="voxel")


def test_bars_show_value_interval_and_subjects(evaluation):
    board = leaderboard(evaluation, baselines=["<baseline>"])
    panel = plots.metric_bars(board, evaluation.results).axes[0]
    assert [patch.get_width() for patch in panel.patches] == board["average_precision"].tolist()
    assert [label.get_text() for label in panel.get_yticklabels()] == board["method"].tolist()
    interval, _, dots = panel.lines[:3]
    assert interval.get_xdata().tolist() == board.loc[0, ["average_precision_low", "average_precision_high"]].tolist()
    assert len(dots.get_xdata()) == 5  # one of six subjects has no lesion
    drawn(plots.metric_bars(board, evaluation.results, column="seconds"))
    assert (
        "mean over subjects"
        in texts(plots.metric_bars(leaderboard(evaluation, aggregation="mean"), evaluation.results))[2]
    )


LONG = "ensemble:members=synthetic_unet:steps=4000+ae:residual=signed+dae:residual=signed"


@pytest.mark.parametrize("width", [20, 32, 200])
def test_a_long_name_is_broken_behind_what_joins_its_parts(width):
    lines = wrapped(f"{LONG}, AP 0.706", width).split("\n")
    assert " ".join(lines).replace(" ", "") == f"{LONG}, AP 0.706".replace(" ", "")
    assert max(map(len, lines)) <= width
    assert all(line[-1] in ":=+," or line.endswith(("AP", "0.706")) for line in lines)
    assert "steps=4000" in "".join(line for line in lines if "steps" in line)


def test_a_word_longer_than_a_line_is_broken_anywhere():
    assert wrapped("sub-OAS30001_ses-d0129\nAP 0.1", 14) == "sub-OAS30001_s\nes-d0129\nAP 0.1"
    assert wrapped("ae:channels=64+128+256", 15) == "ae:channels=64+\n128+256"


def test_other_names_are_left_as_they_are():
    assert wrapped("Reconstruction", 14) == "Reconstruction"
    assert wrapped("stroke\nsub-16\nAP 0.49") == "stroke\nsub-16\nAP 0.49"
    assert wrapped("") == ""


def test_a_long_name_leaves_room_for_the_figure(evaluation):
    board = leaderboard(evaluation).replace({"method": {"strong": LONG}})
    table = by_pathology(evaluation.results).replace({"method": {"strong": LONG}})
    table = table[table["pathology"] == table["pathology"].iloc[0]]
    results = evaluation.results.replace({"method": {"strong": LONG}})
    history = pd.DataFrame({"step": [1, 2], "train_loss": [1.0, 0.5]})
    for figure in (
        plots.metric_bars(board, results),
        plots.pathology_map(table),
        plots.training_curves({f"{LONG}, seed 0, fold {k}": history for k in range(3)}),
    ):
        assert drawn(figure).std() > 0.01
        for panel in figure.axes:
            assert panel.get_position().width * figure.get_figwidth() > 1


def test_pathology_map_writes_every_cell(evaluation):
    table = by_pathology(evaluation.results)
    figure = plots.pathology_map(table[table.index != 1], order=["strong"])
    panel = figure.axes[0]
    assert len(panel.texts) == len(table) - 1
    assert [label.get_text() for label in panel.get_xticklabels()] == ["tumour\n3 subjects", "stroke\n2 subjects"]
    assert drawn(figure).shape[2] == 4


def test_training_curves_have_a_panel_per_run():
    history = pd.DataFrame({"step": [1, 2], "train_loss": [3.0, 2.0], "val_loss": [3.5, 2.5]})
    figure = plots.training_curves({"ae": history, "vae": history.drop(columns="train_loss")})
    assert [len(panel.lines) for panel in figure.axes] == [2, 1]
    assert [panel.get_title(loc="left") for panel in figure.axes] == ["ae", "vae"]
    assert not plots.training_curves({}).axes


def test_methods_beyond_the_palette_get_another_line():
    styles = method_lines([str(i) for i in range(9)])
    assert len(set(styles.values())) == 9
    assert styles["7"][0] == COLOURS[0]
    assert in_order(["b", "a", "b", "c"], ["c", "x"]) == ["c", "b", "a"]
