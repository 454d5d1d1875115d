import pandas as pd

from uad_eval.plots import LabelPanel, label_curves, png


def test_panels_share_colours_begin_with_none_and_show_bands_and_levels():
    table = pd.DataFrame({"x": [0, 1, 4], "value": [0.2, 0.4, 0.6], "low": [0.2, 0.3, 0.5], "high": [0.2, 0.5, 0.7]})
    first = LabelPanel("AP", {"pre": table, "new": table[1:]}, {"none": 0.2, "all": 0.6}, clear=(1,))
    figure = label_curves({"a": first, "b": LabelPanel("Dice", {"pre": table[1:]})})
    left, right = figure.axes
    assert [tick.get_text() for tick in left.get_xticklabels()] == ["0", "1", "4"]
    assert left.get_xscale() == "symlog"
    assert left.lines[0].get_color() == right.lines[0].get_color() != left.lines[1].get_color()
    assert len(left.collections) == 2
    assert sorted(line.get_ydata()[0] for line in left.lines[2:]) == [0.2, 0.6]
    assert [text.get_text() for text in left.texts] == ["*"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["pre", "new", "none", "all"]
    assert png(figure).startswith(b"\x89PNG")


def test_a_level_looks_the_same_in_every_panel():
    table = pd.DataFrame({"x": [1, 4], "value": [0.4, 0.6], "low": [0.3, 0.5], "high": [0.5, 0.7]})
    both, one = (
        LabelPanel("AP", {"pre": table}, {"none": 0.2, "all": 0.6}),
        LabelPanel("Dice", {"pre": table}, {"all": 0.6}),
    )
    left, right = label_curves({"a": both, "b": one}).axes
    none, everything = (line._unscaled_dash_pattern for line in left.lines[1:])
    assert right.lines[1]._unscaled_dash_pattern == everything != none
