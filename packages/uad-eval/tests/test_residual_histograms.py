import numpy as np
import pytest

from uad_eval import InputError, plots


def test_each_network_has_a_panel_on_one_scale(cohort):
    truth = cohort.truth * cohort.brain
    redrawn = {"a": cohort.image - 0.2 * (truth > 0), "b": cohort.image * 0.5}
    figure = plots.residual_histograms(cohort.image, redrawn, truth, cohort.brain, thresholds={"b": [0.1]})
    first, second = figure.axes
    assert first.get_title(loc="left") == "a: lesion +0.20, rest ±0.00"
    assert first.get_xlim() == second.get_xlim()
    assert [line.get_xdata()[0] for line in second.lines] == [0.1]
    assert not first.lines
    with pytest.raises(InputError, match="b: expected the shape"):
        plots.residual_histograms(cohort.image, {"b": cohort.image[:1]}, truth, cohort.brain)
    with pytest.raises(InputError, match="found only one of them"):
        plots.residual_histograms(cohort.image, redrawn, truth * 0, cohort.brain)


def test_reconstructions_and_what_they_leave_share_their_scales(cohort):
    rows = [0, 2]
    images, truths, brain = cohort.image[rows], cohort.truth[rows], cohort.brain[rows]
    redrawn = {"near": images * 0.9, "far": images * 0.2}
    figure = plots.redrawn_plot(images, truths, redrawn, brain=brain, titles=["x", "y"])
    panels = np.array(figure.axes[:12]).reshape(4, 3)
    assert [panel.get_title() for panel in panels[0]] == ["Scan", "near", "far"]
    np.testing.assert_allclose(panels[2, 2].images[0].get_array(), (images[1] * 0.2 * brain[1])[:, ::-1])
    np.testing.assert_allclose(panels[3, 1].images[0].get_array(), (images[1] * 0.1 * brain[1])[:, ::-1], atol=1e-6)
    assert len({panels[row, place].images[0].get_clim() for row in (1, 3) for place in (1, 2)}) == 1
    assert len({panels[0, place].images[0].get_clim() for place in range(3)}) == 1
    with pytest.raises(InputError, match="far: expected the shape of the images"):
        plots.redrawn_plot(images, truths, {"far": images[:1]}, brain=brain)
