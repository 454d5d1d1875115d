import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from uad_eval import InputError, RunKey, evaluate_samples

KEY = RunKey(cohort="toy", method="vae")


def value(evaluation, metric, column="value"):
    return evaluation.results.set_index("metric").loc[metric, column]


def test_slices_and_scans():
    rng = np.random.default_rng(0)
    subjects = np.repeat([f"s{i}" for i in range(8)], 5)
    scans = np.repeat(np.arange(16), [2, 3] * 8)  # two scans a subject
    ill = np.repeat(np.arange(16) % 3 == 0, [2, 3] * 8)
    anomalous = ill & (rng.random(40) < 0.8)
    scores = rng.random(40) + 0.5 * anomalous
    evaluation = evaluate_samples(scores, anomalous, subjects, key=KEY, scans=scans, draws=100)
    assert value(evaluation, "slice_auroc") == pytest.approx(roc_auc_score(anomalous, scores), abs=1e-12)
    by_scan = [np.sqrt(np.mean(scores[scans == s] ** 2)) for s in range(16)]
    truth = [anomalous[scans == s].any() for s in range(16)]
    assert value(evaluation, "scan_auroc") == pytest.approx(roc_auc_score(truth, by_scan), abs=1e-12)
    for level, (ill_ones, scored) in {"slice": (anomalous, scores), "scan": (truth, by_scan)}.items():
        expected = average_precision_score(ill_ones, scored)
        assert value(evaluation, f"{level}_average_precision") == pytest.approx(expected, abs=1e-12)
    assert value(evaluation, "slice_auroc", "low") < value(evaluation, "slice_auroc")
    kept = evaluation.samples
    assert kept["level"].value_counts().to_dict() == {"slice": 40, "scan": 16}
    assert kept.loc[kept["level"] == "slice", "score"].tolist() == scores.tolist()


def test_samples_of_one_kind_have_no_figure():
    evaluation = evaluate_samples([1.0, 2.0], [True, True], ["a", "b"], key=KEY, draws=50)
    assert np.isnan(value(evaluation, "slice_auroc"))


@pytest.mark.parametrize(("scores", "subjects"), [([1.0, 2.0], ["a"]), ([], [])])
def test_bad_input_is_refused(scores, subjects):
    with pytest.raises(InputError, match="expected one entry per sample"):
        evaluate_samples(scores, [True] * len(scores), subjects, key=KEY)
