import numpy as np
import pandas as pd

from uad_eval import plots


def test_a_panel_per_quantity_with_the_baseline_in_each():
    table = pd.DataFrame({"x": [10, 1000], "value": [0.2, 0.4], "low": [0.1, 0.3], "high": [0.3, 0.6]})
    figure = plots.growth_plot({"steps": table, "people": table.assign(x=[2, 20])}, baseline=0.25)
    assert [panel.get_xlabel() for panel in figure.axes] == ["steps", "people"]
    for panel, ticks in zip(figure.axes, (["10", "1,000"], ["2", "20"]), strict=True):
        assert [label.get_text() for label in panel.get_xticklabels()] == ticks
        values, *_, line = panel.lines
        np.testing.assert_array_equal(values.get_ydata(), [0.2, 0.4])
        assert list(line.get_ydata()) == [0.25, 0.25]
        (bars,) = [np.array(each.get_segments())[:, :, 1] for each in panel.collections]
        np.testing.assert_allclose(bars, [[0.1, 0.3], [0.3, 0.6]])
    assert len(plots.growth_plot({"steps": table}).axes[0].lines) == 3
