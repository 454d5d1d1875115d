import numpy as np
import pytest

from uad_eval import InputError, plots


def test_steps_stand_in_their_order_and_on_the_scans_scale(cohort):
    rows = [0, 2]
    images, truths = cohort.image[rows], cohort.truth[rows]
    healed = np.stack([images * 0.9, images * 0.8, images * 0.7], axis=1)
    arrays = {"reconstructions": images * 0.5, "surprises": images * 3, "unlikely": images > 0.5, "averages": images}
    figure = plots.healing_plot(images, truths, healed=healed, maps=images * 2, titles=["a", "b"], **arrays)
    panels = np.array(figure.axes[:16]).reshape(2, 8)
    headings = [panel.get_title() for panel in panels[0]]
    assert headings[4:6] == ["Healed sample 1", "Healed sample 2"]
    np.testing.assert_allclose(panels[1, 5].images[0].get_array(), healed[1, 1][:, ::-1])
    grey = [panels[1, place].images[0].get_clim() for place in (0, 1, 4, 5, 6)]
    assert len(set(grey)) == 1
    assert panels[0, 3].images[0].get_clim() == (0, 1)
    assert panels[0, 7].images[0].get_clim() == panels[1, 7].images[0].get_clim()
    with pytest.raises(InputError, match="maps: expected the shape of the images"):
        plots.healing_plot(images, truths, healed=healed, maps=images[:1], **arrays)
    with pytest.raises(InputError, match="averages: expected the shape"):
        plots.healing_plot(images, truths, healed=healed, maps=images, **{**arrays, "averages": images[:1]})
