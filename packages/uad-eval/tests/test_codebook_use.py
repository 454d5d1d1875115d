import io

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from uad_eval import plots


def test_shares_fall_from_the_most_used_code_in_every_panel():
    shares = np.array([0.5, 0.0, 0.2, 0.3])
    table = pd.DataFrame({"seed": 0, "code": range(4), "share": shares})
    figure = plots.codebook_use_plot({"one": table, "two": pd.concat([table, table.assign(seed=1)])})
    first, second = figure.axes
    np.testing.assert_allclose(first.lines[0].get_ydata(), [50, 30, 20, 0])
    np.testing.assert_allclose(first.lines[1].get_ydata(), [25, 25])  # all codes alike
    assert len(second.lines) == len(first.lines) + 1
    assert plt.imread(io.BytesIO(plots.png(figure))).std() > 0.01
