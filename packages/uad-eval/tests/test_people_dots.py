import numpy as np
import pytest

from uad_eval import InputError, plots
from uad_eval.results import SUBJECT


def test_dots_are_people_and_bars_their_means(evaluation):
    protocol = "lesion_validation"
    figure = plots.people_dots(
        evaluation, metric="dice", protocol=protocol, ylabel="Dice", published={("toy", "strong"): 0.5}
    )
    (panel,) = figure.axes
    rows = evaluation.results.query("metric == 'dice' and protocol == @protocol").dropna(subset=["value"])
    people = rows[(rows["aggregation"] == SUBJECT) & (rows["method"] == "strong")].groupby("subject")["value"].mean()
    drawn = next(line for line in panel.lines if line.get_label() == "a person")
    np.testing.assert_allclose(drawn.get_ydata(), people)
    assert len(panel.collections) == 3
    assert panel.collections[0].get_segments()[0][0, 1] == pytest.approx(people.mean())
    diamonds = [line for line in panel.lines if line.get_label() == "published mean"]
    assert [line.get_ydata()[0] for line in diamonds] == [0.5]
    with pytest.raises(InputError, match="expected figures of single people"):
        plots.people_dots(evaluation, metric="dice", protocol="per_image", ylabel="Dice")
