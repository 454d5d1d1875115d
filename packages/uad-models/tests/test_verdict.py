import json

import numpy as np
import pytest

from uad_data.arrays import ArraySpec, build_arrays
from uad_data.cohort import Cohort
from uad_data.errors import InputError
from uad_models.clinical import verdict as module
from uad_models.clinical.verdict import HEALTHY_SHARE, VERDICT, fit_verdict, load_verdict, pipeline_with
from uad_models.predict import predict_rows
from uad_models.registry import create
from uad_models.training import fit
from uad_postproc import Context


@pytest.fixture
def run(store, tmp_path):
    fit("intensity", store, tmp_path / "run", progress=False)
    return tmp_path / "run"


def test_the_threshold_is_the_lowest_at_which_the_stated_share_of_healthy_brains_is_marked(store, run, tmp_path):
    verdict = fit_verdict(run, store, healthy_share=0.1, progress=False)
    rows = store.healthy_rows("val")
    predict_rows(create("intensity", size=(16, 16)), store, rows, tmp_path / "maps.npy")
    context, people = Context(store.brain[rows]), store.index["subject"].to_numpy()[rows]
    scores = verdict.pipeline.score(np.load(tmp_path / "maps.npy"), context)

    def shares(threshold):
        masks = verdict.pipeline.with_threshold(threshold).mask_from_scores(scores, context)
        return [masks[people == name].sum() / context.brain[people == name].sum() for name in np.unique(people)]

    marked = shares(verdict.threshold)
    inside = scores[context.brain]
    assert np.mean(marked) <= 0.1
    assert np.mean(marked) >= 0.099 or np.mean(shares(inside[inside < verdict.threshold].max())) > 0.1
    assert (verdict.people, verdict.items) == (2, len(rows))
    assert verdict.false_positive_rate == pytest.approx((inside > verdict.threshold).mean())
    assert verdict.healthy_mean == pytest.approx(np.mean(marked))
    assert verdict.healthy_median == pytest.approx(np.median(marked))
    assert verdict.healthy_median <= verdict.healthy_high <= max(marked)
    assert not list(run.glob(".tmp*"))


def test_a_probability_is_not_cut_below_one_half(store, tmp_path):
    small, short = {"channels": (8, 8), "fold": 1, "coarse": 1}, {"steps": 2, "batch_size": 4}
    fit("synthetic_unet", store, tmp_path, config=small, train=short, progress=False)
    strict = fit_verdict(tmp_path, store, healthy_share=1e-6, progress=False)
    generous = fit_verdict(tmp_path, store, healthy_share=0.9, progress=False)
    assert generous.threshold == 0.5
    assert generous.healthy_mean <= 0.9
    assert strict.threshold >= 0.5


def test_it_is_kept_until_something_changes(store, run, monkeypatch):
    first = fit_verdict(run, store, progress=False)
    assert load_verdict(run) == first
    calls = []
    monkeypatch.setattr(module, "predict_rows", lambda *a, **k: calls.append(1) or predict_rows(*a, **k))
    assert fit_verdict(run, store, progress=False) == first
    assert not calls
    assert fit_verdict(run, store, healthy_share=0.3, progress=False).threshold < first.threshold
    assert len(calls) == 1
    assert load_verdict(run).key["healthy_share"] == 0.3


def test_fewer_scans_are_taken_whole_when_there_are_too_many(store, run, monkeypatch):
    rows = store.healthy_rows("val")
    scans = store.index["scan"].to_numpy()[rows]
    monkeypatch.setattr(module, "_MOST_VOXELS", 16 * 16 * (len(rows) - 1))
    verdict = fit_verdict(run, store, progress=False)
    assert verdict.people == 1
    assert verdict.items == np.count_nonzero(scans == scans.min())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pipeline": "lambert2021"}, "expected a threshold that is fitted on healthy scans, found BestDice"),
        ({"pipeline": "poster"}, "unknown pipeline 'poster'; did you mean 'poster2023'"),
        ({"healthy_share": 0.0}, "healthy_share: expected above 0 and below 1, such as 0.005, found 0.0"),
        ({"healthy_share": float("nan")}, "healthy_share: .* found nan"),
    ],
)
def test_what_cannot_be_fitted_is_refused(store, run, options, message):
    with pytest.raises(InputError, match=message):
        fit_verdict(run, store, progress=False, **options)
    assert load_verdict(run) is None


def test_other_arrays_are_refused(run, cohort_csv, tmp_path):
    other = build_arrays(Cohort.read(cohort_csv), ArraySpec(size=(8, 8)), cache=tmp_path / "c", progress=False)
    with pytest.raises(InputError, match="trained on other images"):
        fit_verdict(run, other, progress=False)


@pytest.mark.parametrize("content", ["{", "[]", '{"format": 9}', '{"format": 1, "pipeline": {"name": "x"}}'])
def test_a_damaged_file_is_told(run, content):
    (run / VERDICT).write_text(content)
    with pytest.raises(InputError, match=r"pipeline\.json cannot be used .*: delete it"):
        load_verdict(run)


def test_the_file_can_be_read_by_others(store, run):
    verdict = fit_verdict(run, store, progress=False)
    values = json.loads((run / VERDICT).read_text())
    assert values["pipeline"]["name"] == "poster2023"
    assert [step["value"] for step in values["pipeline"]["steps"] if "value" in step] == [verdict.threshold]
    assert (values["people"], values["key"]["healthy_share"]) == (2, HEALTHY_SHARE)


def test_a_threshold_of_ones_own(store, run):
    verdict = fit_verdict(run, store, healthy_share=0.1, progress=False)
    for known in (None, verdict):
        steps = pipeline_with(0.25, known)
        assert steps.threshold.value == 0.25
        assert [type(step).__name__ for step in steps.steps[:3]] == ["Residual", "MedianFilter", "BrainErosion"]
    with pytest.raises(InputError, match=r"threshold: .*finite"):
        pipeline_with(float("nan"), None)
