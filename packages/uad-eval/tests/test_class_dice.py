import numpy as np
import pytest

from uad_eval.class_dice import evaluate_class_dice
from uad_eval.errors import InputError
from uad_eval.results import RunKey

KEY = RunKey(cohort="toy", method="segmenter")
NAMES = ("core", "rim")


def figure(evaluation, metric, aggregation="mean"):
    rows = evaluation.results
    return rows[(rows["metric"] == metric) & (rows["aggregation"] == aggregation)].set_index("subject")["value"]


def test_worked_by_hand():
    """Two slices of a, one of b, one of c without any lesion; the last voxel lies outside the brain."""
    truth = np.array([[1, 1, 2, 0, 2], [1, 0, 0, 0, 2], [2, 2, 0, 0, 2], [0, 0, 0, 0, 2]])
    found = np.array([[1, 0, 2, 2, 0], [1, 1, 0, 0, 0], [2, 0, 0, 0, 0], [1, 0, 0, 0, 0]])
    brain = np.ones(truth.shape, bool)
    brain[:, -1] = False
    made = evaluate_class_dice(found, truth, brain, ["a", "a", "b", "c"], key=KEY, classes=NAMES, draws=50)
    core, rim = (figure(made, f"class_dice_{name}", "subject") for name in NAMES)
    assert core["a"] == pytest.approx(2 * 2 / (3 + 3))
    assert np.isnan([core["b"], core["c"], rim["c"]]).all()  # they have no such part
    assert (rim["a"], rim["b"]) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert figure(made, "class_dice_core").item() == pytest.approx(2 / 3)
    assert figure(made, "class_dice_core", "pooled").item() == pytest.approx(2 * 2 / (3 + 4))  # c's false voxel too
    assert figure(made, "class_dice").item() == pytest.approx((2 / 3 + 2 / 3) / 2)


def test_against_a_loop_over_random_patients():
    rng = np.random.default_rng(0)
    truth, found = rng.integers(0, 3, (2, 12, 6, 6))
    subjects = np.repeat([f"s{i}" for i in range(4)], 3)
    brain = rng.random(truth.shape) < 0.8
    made = evaluate_class_dice(found, truth, brain, subjects, key=KEY, classes=NAMES, draws=100)
    means = []
    for number, name in enumerate(NAMES, start=1):
        dice = []
        for subject in np.unique(subjects):
            a, b = ((each[subjects == subject] == number) & brain[subjects == subject] for each in (found, truth))
            dice.append(2 * (a & b).sum() / (a.sum() + b.sum()))
        assert figure(made, f"class_dice_{name}", "subject").to_numpy() == pytest.approx(dice)
        means.append(np.mean(dice))
    assert figure(made, "class_dice").item() == pytest.approx(np.mean(means))
    row = made.results[made.results["metric"] == "class_dice"].iloc[0]
    assert row["low"] < row["value"] < row["high"]


def test_a_class_that_nobody_has_is_left_out_of_the_mean():
    truth = np.array([[1, 0], [1, 0]])
    made = evaluate_class_dice(truth, truth, truth >= 0, ["a", "b"], key=KEY, classes=NAMES, draws=20)
    assert figure(made, "class_dice").item() == 1
    nothing = evaluate_class_dice(0 * truth, 0 * truth, truth >= 0, ["a", "b"], key=KEY, classes=NAMES, draws=20)
    assert "class_dice" not in set(nothing.results["metric"])


def test_what_does_not_fit():
    with pytest.raises(InputError, match="expected one shape and a class"):
        evaluate_class_dice(np.zeros((1, 2)), np.zeros((1, 3)), np.ones((1, 2)), ["a"], key=KEY, classes=NAMES)
