import numpy as np
import pandas as pd

from uad_eval import plots


def test_a_line_per_method_with_its_interval_and_the_level():
    table = pd.DataFrame({"x": [8, 512], "value": [0.3, 0.2], "low": [0.2, 0.1], "high": [0.5, 0.3]})
    figure = plots.size_curves(
        {"ae": table, "vae": table.assign(value=[0.4, 0.1])}, xlabel="size", ylabel="AP", level=("threshold", 0.15)
    )
    (panel,) = figure.axes
    assert [label.get_text() for label in panel.get_xticklabels()] == ["8", "512"]
    ae, vae, level = panel.lines
    np.testing.assert_array_equal(ae.get_ydata(), [0.3, 0.2])
    np.testing.assert_array_equal(vae.get_ydata(), [0.4, 0.1])
    assert list(level.get_ydata()) == [0.15, 0.15]
    band = panel.collections[0].get_paths()[0].vertices
    assert {(8, 0.2), (8, 0.5), (512, 0.1), (512, 0.3)} <= {tuple(point) for point in band}
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["ae", "vae", "threshold"]


def test_parts_of_a_size_are_drawn_below_the_line_of_all():
    table = pd.DataFrame({"x": [2, 8, 32], "value": [2, 0, 5]})
    (panel,) = plots.size_curves({"vae": table}, xlabel="size", ylabel="units", at_most_x=True).axes
    values, everything = panel.lines
    np.testing.assert_array_equal(values.get_ydata(), [2, 0, 5])
    np.testing.assert_array_equal(everything.get_ydata(), [2, 8, 32])
    assert panel.get_yscale() == "symlog"
    assert [label.get_text() for label in panel.get_yticklabels()] == ["0", "2", "8", "32"]
