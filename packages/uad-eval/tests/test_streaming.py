import numpy as np
import pytest
from sklearn import metrics as sk

from uad_eval import InputError, StreamedRanking
from uad_eval.ranking import Ranking


def streamed(scores, truth, *, buffer, pieces=7, dtype=np.float32, folder=None):
    with StreamedRanking(buffer_voxels=buffer, dtype=dtype, folder=folder) as stream:
        for s, t in zip(np.array_split(scores, pieces), np.array_split(truth, pieces), strict=True):
            stream.add(s, t)
        return stream.figures()


@pytest.mark.parametrize("levels", [2, 5, 1000, 10**7])  # few levels: many ties, also at the cut points
@pytest.mark.parametrize("buffer", [61, 700, 10**6])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_streamed_figures_are_those_of_scikit_learn(levels, buffer, dtype):
    rng = np.random.default_rng(levels)
    truth = rng.random(2000) < 0.06
    scores = (np.floor(rng.normal(truth, 1) * levels / 4) / levels).astype(dtype)
    found, whole = streamed(scores, truth, buffer=buffer, dtype=dtype), Ranking.of(scores, truth)
    assert found.average_precision == pytest.approx(sk.average_precision_score(truth, scores), abs=1e-12)
    assert found.auroc == pytest.approx(sk.roc_auc_score(truth, scores), abs=1e-12)
    assert (found.best_dice, found.threshold) == pytest.approx(whole.best_dice(), abs=1e-12)
    assert (found.lesion, found.healthy) == (truth.sum(), (~truth).sum())


@pytest.mark.parametrize("buffer", [10, 1000])
def test_empty_cases(buffer):
    scores = np.linspace(0, 1, 50, dtype=np.float32)
    none = streamed(scores, np.zeros(50), buffer=buffer)
    assert np.isnan(none[:4]).all()
    everything = streamed(scores, np.ones(50), buffer=buffer)
    assert everything.average_precision == everything.best_dice == 1
    assert np.isnan(everything.auroc)
    with StreamedRanking() as stream:
        assert np.isnan(stream.figures()[:4]).all()


def test_more_may_be_added_after_a_look(tmp_path):
    rng = np.random.default_rng(0)
    truth, scores = rng.random(300) < 0.2, rng.random(300, dtype=np.float32)
    with StreamedRanking(buffer_voxels=40, folder=tmp_path) as stream:
        stream.add(scores[:100], truth[:100])
        assert stream.figures().average_precision == pytest.approx(
            Ranking.of(scores[:100], truth[:100]).average_precision(), abs=1e-12
        )
        stream.add(scores[100:].reshape(20, 10), truth[100:].reshape(20, 10))
        found = stream.figures().average_precision
        assert len(list(tmp_path.iterdir())) == 1
    assert found == pytest.approx(Ranking.of(scores, truth).average_precision(), abs=1e-12)
    assert not list(tmp_path.iterdir())


def test_scores_that_cannot_be_ranked_are_refused():
    with StreamedRanking() as stream:
        with pytest.raises(InputError, match="one shape"):
            stream.add(np.zeros(3, np.float32), np.zeros(4))
        with pytest.raises(InputError, match="1 NaN or infinite of 2"):
            stream.add(np.array([0, np.nan], np.float32), np.zeros(2))
        with pytest.raises(InputError, match="float64 does not fit into float32"):
            stream.add(np.zeros(3), np.zeros(3))
    with pytest.raises(InputError, match="buffer_voxels"):
        StreamedRanking(buffer_voxels=0)
