import numpy as np
import pandas as pd

from uad_eval import plots

TABLE = pd.DataFrame(
    [
        ("a", "x", -0.2, -0.3, -0.1, "3 people"),
        ("a", "y", 0.1, np.nan, np.nan, ""),
        ("b", "y", 0.05, -0.1, 0.2, ""),
    ],
    columns=["row", "column", "value", "low", "high", "note"],
)


def test_a_cell_says_value_interval_and_note():
    panel = plots.shaded_table(TABLE, title="t", row_order=["b"], differences=True).axes[0]
    texts = {text.get_position(): text for text in panel.texts}
    assert [label.get_text() for label in panel.get_yticklabels()] == ["b", "a"]
    assert texts[0, 1].get_text() == "−0.20\n−0.30 to −0.10\n3 people"
    assert texts[1, 1].get_text() == "+0.10"
    assert [texts[place].get_fontweight() for place in ((0, 1), (1, 1), (1, 0))] == ["bold", "normal", "normal"]
    assert panel.images[0].get_clim() == (-0.2, 0.2)
    assert np.ma.getmaskarray(np.ma.masked_invalid(panel.images[0].get_array())).sum() == 1


def test_values_are_shaded_from_nought():
    panel = plots.shaded_table(TABLE.assign(value=TABLE["value"].abs()), title="t").axes[0]
    assert panel.images[0].get_clim() == (0, 0.2)
    assert all(text.get_fontweight() == "normal" for text in panel.texts)
