import numpy as np
import pytest

from uad_eval import InputError, RunKey, Scope, SubjectVoxels, evaluate, evaluate_subjects, metrics

KEY = RunKey(cohort="toy", method="ae", seed=3)


@pytest.fixture(scope="module")
def maps(cohort):
    return cohort.maps(strength=2.0, seed=0)


@pytest.fixture(scope="module")
def scored(cohort, maps):
    mask = maps > 1.2
    mask[:, 4, 4] = True
    evaluation = evaluate(
        maps,
        cohort.truth,
        cohort.brain,
        cohort.subjects,
        key=KEY,
        pathologies=cohort.pathologies,
        masks={"lesion_validation": mask},
        thresholds={"lesion_validation": 1.2, "healthy_validation": 2.0},
        false_positive_rate=0.02,
        draws=200,
    )
    return evaluation, mask


def value(evaluation, metric, protocol="", subject="pooled", column="value"):
    r = evaluation.results
    return r.loc[(r["metric"] == metric) & (r["protocol"] == protocol) & (r["subject"] == subject), column].item()


def test_pooled_figures_are_those_of_all_brain_voxels(cohort, maps, scored):
    evaluation, mask = scored
    scores, truth = maps[cohort.brain], cohort.truth[cohort.brain]
    assert value(evaluation, "average_precision") == metrics.average_precision(scores, truth)
    assert value(evaluation, "auroc") == metrics.auroc(scores, truth)
    best, threshold = metrics.best_dice(scores, truth)
    assert value(evaluation, "best_dice", "oracle") == best
    assert value(evaluation, "best_dice", "oracle", column="threshold") == threshold
    for name in metrics.MASK_METRICS:
        measure = getattr(metrics, name)
        assert value(evaluation, name, "lesion_validation") == measure(mask[cohort.brain], truth)
        assert value(evaluation, name, "healthy_validation") == measure(scores > 2.0, truth)
    assert value(evaluation, "prevalence") == pytest.approx(truth.mean())
    assert value(evaluation, "chosen_false_positive_rate") == 0.02


def test_subject_figures_and_their_mean(cohort, maps, scored):
    evaluation, mask = scored
    own = cohort.brain & (cohort.subjects == "sub-2")[:, None, None]
    scores, truth = maps[own], cohort.truth[own]
    assert value(evaluation, "average_precision", subject="sub-2") == metrics.average_precision(scores, truth)
    assert value(evaluation, "dice", "lesion_validation", "sub-2") == metrics.dice(mask[own], truth)
    best = value(evaluation, "best_dice", "oracle", column="threshold")
    assert value(evaluation, "best_dice", "oracle", "sub-2") == metrics.dice(scores > best, truth)
    assert value(evaluation, "average_precision", subject="sub-2", column="pathology") == "stroke"
    assert value(evaluation, "auroc", subject="mean") == pytest.approx(
        np.mean([value(evaluation, "auroc", subject=f"sub-{i}") for i in range(5)])
    )


def test_a_subject_without_lesion_counts_for_the_mean_specificity_only(scored):
    evaluation, _ = scored
    assert np.isnan(value(evaluation, "average_precision", subject="sub-5"))
    assert value(evaluation, "dice", "lesion_validation", "sub-5") == 0
    dice = [value(evaluation, "dice", "lesion_validation", f"sub-{i}") for i in range(5)]
    specificity = [value(evaluation, "specificity", "lesion_validation", f"sub-{i}") for i in range(6)]
    assert value(evaluation, "dice", "lesion_validation", "mean") == pytest.approx(np.mean(dice))
    assert value(evaluation, "specificity", "lesion_validation", "mean") == pytest.approx(np.mean(specificity))


def test_intervals_bracket_the_value_and_every_row_names_its_run(scored):
    results = scored[0].results
    summed = results[(results["aggregation"] != "subject") & results["low"].notna()]
    assert len(summed) == 2 * (4 + 2 * 5)
    assert (summed["low"] < summed["value"]).all()
    assert (summed["value"] < summed["high"]).all()
    assert set(results["scope"]) == {"brain voxels, slices all"}
    assert (set(results["cohort"]), set(results["method"]), set(results["seed"])) == ({"toy"}, {"ae"}, {3})


def test_protocols_are_kept_apart(scored):
    results = scored[0].results
    found = set(zip(results["metric"], results["protocol"], strict=True))
    assert {p for m, p in found if m == "best_dice"} == {"oracle"}
    assert {p for m, p in found if m == "dice"} == {"lesion_validation", "healthy_validation"}
    assert value(scored[0], "iou", "healthy_validation", column="threshold") == 2.0


def test_curves_are_kept(scored):
    curves = scored[0].curves
    assert set(curves["curve"]) == {"precision_recall", "roc"}
    assert curves.loc[curves["curve"] == "roc", "x"].is_monotonic_increasing


def test_scope_and_order_of_the_items(cohort, maps):
    shuffled = np.random.default_rng(0).permutation(len(maps))
    everything = RunKey(cohort="toy", method="ae", scope=Scope(brain_only=False))
    arrays = maps, cohort.truth, cohort.brain, cohort.subjects
    whole = evaluate(*(a[shuffled] for a in arrays), key=everything, draws=50)
    assert value(whole, "auroc") == metrics.auroc(maps, cohort.truth)
    straight = evaluate(*arrays, key=everything, draws=50)
    assert value(straight, "auroc", column="low") == value(whole, "auroc", column="low")


def test_one_subject_has_no_interval(cohort, maps):
    first = slice(0, 4)
    arrays = maps[first], cohort.truth[first], cohort.brain[first], cohort.subjects[first]
    assert np.isnan(value(evaluate(*arrays, key=KEY, draws=50), "auroc", column="low"))


def test_no_lesion_anywhere(cohort, maps):
    arrays = maps, np.zeros_like(cohort.truth), cohort.brain, cohort.subjects
    empty = evaluate(*arrays, key=KEY, thresholds={"healthy_validation": 1.0}, draws=50)
    assert np.isnan(value(empty, "average_precision"))
    assert np.isnan(value(empty, "best_dice", "oracle"))
    assert value(empty, "dice", "healthy_validation") == 0
    assert empty.curves.empty


def test_subjects_of_different_size_can_be_given_as_voxels():
    a = SubjectVoxels("a", "", np.array([1.0, 2.0, 3.0]), np.array([0, 0, 1]))
    b = SubjectVoxels("b", "", np.array([5.0, 4.0]), np.array([0, 1]))
    evaluation = evaluate_subjects([b, a], key=KEY, draws=50)
    assert value(evaluation, "average_precision") == metrics.average_precision([1, 2, 3, 5, 4], [0, 0, 1, 0, 1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"truth": np.zeros((24, 12, 9))}, r"truth: expected .*\(24, 12, 10\), found \(24, 12, 9\)"),
        ({"masks": {"lesion_validation": np.zeros(3)}}, "mask lesion_validation"),
        ({"masks": {"oracle": np.zeros((24, 12, 10))}}, r"found \['oracle'\]"),
        ({"subjects": ["a"] * 3}, r"subjects: expected 24 names"),
        ({"pathologies": ["x", "y"] * 12}, "found x, y for subject sub-0"),
        ({"maps": np.full((24, 12, 10), np.nan)}, "subject sub-0: scores must be finite"),
        ({"brain": np.zeros((24, 12, 10))}, "the brain masks are empty"),
    ],
)
def test_bad_input_is_refused(cohort, maps, change, message):
    given = {"maps": maps, "truth": cohort.truth, "brain": cohort.brain, "subjects": cohort.subjects} | change
    with pytest.raises(InputError, match=message):
        evaluate(**given, key=KEY, draws=50)
