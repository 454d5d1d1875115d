"""Which validation images weights are chosen by, and maps calibrated with."""

import numpy as np
import pytest

from uad_models import training, training_stage
from uad_models.training import fit
from uad_models.training_stage import Stage


@pytest.mark.parametrize(("asked", "taken"), [(0, 20), (99, 20), (5, 5)])
def test_weights_are_chosen_by_validation_rows_spread_evenly(store, tmp_path, hill, monkeypatch, asked, taken):
    rows, seen = np.arange(20), []
    monkeypatch.setattr(training_stage, "rows_of", lambda method, store, split: rows)
    monkeypatch.setattr(Stage, "validate", lambda self: seen.append(self._val.rows) or {"loss": 1.0})
    calibrated = []
    make = training.Feeder
    monkeypatch.setattr(
        training, "Feeder", lambda store, rows, **how: calibrated.append(rows) or make(store, rows, **how)
    )
    fit("hill", store, tmp_path, train=hill | {"validation_rows": asked, "steps": 1}, progress=False)
    assert len(seen[0]) == taken
    assert seen[0][[0, -1]].tolist() == [0, 19]
    assert [rows.tolist() for rows in calibrated] == [seen[0].tolist()]
    assert np.ptp(np.diff(seen[0])) <= 1
