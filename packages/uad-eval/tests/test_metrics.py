import numpy as np
import pytest
from sklearn import metrics as sk

from uad_eval import metrics
from uad_eval.errors import InputError

SCORES, TRUTH = np.array([[0.9, 0.8], [0.7, 0.1]]), np.array([[1, 0], [1, 0]])


def test_ranking_metrics_take_any_shape():
    assert metrics.average_precision(SCORES, TRUTH) == pytest.approx(0.5 + 0.5 * 2 / 3)
    assert metrics.auroc(SCORES, TRUTH) == pytest.approx(3 / 4)
    assert metrics.best_dice(SCORES, TRUTH)[0] == pytest.approx(4 / 5)
    assert metrics.precision_recall_curve(SCORES, TRUTH).y.tolist() == pytest.approx([1, 1, 2 / 3])
    assert metrics.roc_curve(SCORES, TRUTH, points=3).x.size == 3


@pytest.mark.parametrize("seed", range(10))
def test_mask_metrics_agree_with_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    truth, mask = rng.random((2, 7, 11)) < 0.3
    flat = truth.ravel(), mask.ravel()
    assert metrics.dice(mask, truth) == pytest.approx(sk.f1_score(*flat), abs=1e-9)
    assert metrics.iou(mask, truth) == pytest.approx(sk.jaccard_score(*flat), abs=1e-9)
    assert metrics.sensitivity(mask, truth) == pytest.approx(sk.recall_score(*flat), abs=1e-9)
    assert metrics.specificity(mask, truth) == pytest.approx(sk.recall_score(*flat, pos_label=False), abs=1e-9)
    assert metrics.precision(mask, truth) == pytest.approx(sk.precision_score(*flat), abs=1e-9)


def test_mask_metrics_worked_by_hand():
    mask, truth = [1, 1, 1, 0, 0, 0, 0], [2, 1, 0, 1, 0, 0, 0]  # tp 2, fp 1, fn 1, tn 3; label 2 is lesion too
    assert metrics.counts(mask, truth) == (2, 1, 1, 3)
    found = [f(mask, truth) for f in (metrics.dice, metrics.iou, metrics.sensitivity, metrics.specificity)]
    assert found == pytest.approx([4 / 6, 2 / 4, 2 / 3, 3 / 4])
    assert metrics.precision(mask, truth) == pytest.approx(2 / 3)


def test_empty_cases():
    none, some = np.zeros(4), np.array([1, 0, 0, 0])
    assert np.isnan([metrics.dice(none, none), metrics.iou(none, none)]).all()
    assert metrics.dice(none, none, empty=1) == metrics.iou(none, none, empty=1) == 1
    assert metrics.dice(some, none, empty=1) == metrics.dice(none, some, empty=1) == metrics.iou(none, some) == 0
    assert np.isnan([metrics.sensitivity(some, none), metrics.precision(none, some)]).all()
    assert np.isnan(metrics.specificity(some, np.ones(4)))
    assert metrics.sensitivity(none, some) == 0


def test_masks_of_two_shapes_are_refused():
    with pytest.raises(InputError, match=r"found \(4,\) and \(2, 2\)"):
        metrics.dice(np.zeros(4), np.zeros((2, 2)))


def test_mae_counts_brain_voxels_of_all_channels():
    image, brain = np.zeros((2, 3, 4, 5)), np.zeros((2, 4, 5), bool)
    brain[0, 0, :2] = True
    redrawn = np.full_like(image, 9)
    redrawn[0, :, 0, 0], redrawn[0, :, 0, 1] = [[1, 2, 3], [-1, 0, 0]]
    assert metrics.mae(image, redrawn, brain) == pytest.approx((1 + 2 + 3 + 1) / 6)
    assert metrics.mae(image[:, 0], redrawn[:, 0], brain) == pytest.approx(1)
    assert np.isnan(metrics.mae(image, redrawn, brain & False))
    with pytest.raises(InputError, match="brain"):
        metrics.mae(image, redrawn, brain[:1])


def test_mae_of_half_precision_images_is_not_rounded():
    image = np.full((1, 100, 100), 0.1, np.float16)
    exact = abs(np.float32(np.float16(0.1)) - np.float32(0.3))
    assert metrics.mae(image, np.full((1, 100, 100), 0.3, np.float32), image > 0) == pytest.approx(exact, rel=1e-6)
