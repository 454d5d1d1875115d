import numpy as np
import pytest

from uad_eval import InputError
from uad_eval.lesion_contrast import lesion_contrast


def test_what_is_kept_of_a_lesion_by_hand():
    brain = np.ones((3, 2, 4), bool)
    brain[:, :, 3] = False
    truth = np.zeros(brain.shape, int)
    truth[:2, 0] = 2  # also outside the brain
    images = np.where(truth > 0, 1.0, 0.4)
    images[~brain] = 9.0
    redrawn = np.where(truth > 0, 0.7, 0.5)
    table = lesion_contrast(images, redrawn, truth, brain, ["b", "a", "c"])
    assert list(table["subject"]) == ["a", "b"]  # c has no lesion
    row = table.iloc[0]
    assert row["contrast"] == pytest.approx(0.6)
    assert row["redrawn"] == pytest.approx(0.2)
    assert row["kept"] == pytest.approx(1 / 3)
    assert row["residual_lesion"] == pytest.approx(0.3)
    assert row["error_healthy"] == pytest.approx(0.1)
    assert np.isnan(row["likeness"])


def test_likeness_is_the_correlation_outside_the_lesion():
    rng = np.random.default_rng(0)
    images, brain = rng.random((1, 6, 6)), np.ones((1, 6, 6), bool)
    redrawn, truth = images + rng.normal(size=images.shape) * 0.3, np.zeros(brain.shape)
    truth[0, :2] = 1
    row = lesion_contrast(images, redrawn, truth, brain, ["a"]).iloc[0]
    rest = truth == 0
    assert row["likeness"] == pytest.approx(np.corrcoef(images[rest], redrawn[rest])[0, 1])


def test_arrays_that_do_not_belong_together():
    array = np.zeros((2, 3, 3))
    with pytest.raises(InputError, match="reconstructions: expected the shape"):
        lesion_contrast(array, array[:1], array, array, ["a", "b"])
    with pytest.raises(InputError, match="expected 2 names"):
        lesion_contrast(array, array, array, array, ["a"])
