import math

import pytest

from uad_data.errors import InputError
from uad_models.train_config import TrainConfig


def test_learning_rate_warms_up_and_falls_by_a_cosine():
    config = TrainConfig(steps=14, warmup_steps=4, learning_rate=0.8)
    rates = [config.learning_rate_at(step) for step in range(14)]
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8])
    assert rates[9] == pytest.approx(0.4)
    assert rates[13] == pytest.approx(0.4 * (1 + math.cos(math.pi * 0.9)))


def test_learning_rate_stays_when_constant():
    config = TrainConfig(steps=10, warmup_steps=2, schedule="constant", learning_rate=0.5)
    assert [config.learning_rate_at(step) for step in range(4)] == [0.25, 0.5, 0.5, 0.5]


def test_before_a_plateau_the_learning_rate_stays():
    config = TrainConfig(steps=10, warmup_steps=2, schedule="plateau", learning_rate=0.5)
    assert [config.learning_rate_at(step) for step in range(4)] == [0.25, 0.5, 0.5, 0.5]


def test_a_warm_up_longer_than_the_run_is_allowed():
    assert TrainConfig(steps=5, warmup_steps=50).learning_rate_at(4) == pytest.approx(1e-4)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"steps": 0}, "steps: expected at least 1, got 0"),
        ({"steps": 1.5}, "steps: expected int, got 1.5"),
        ({"learning_rate": 0.0}, "learning_rate: expected above 0"),
        ({"ema_decay": 1.0}, "ema_decay: expected at least 0 and below 1"),
        ({"patience": -1}, "patience: expected at least 0"),
        ({"plateau_patience": -1}, "plateau_patience: expected at least 0"),
        ({"plateau_factor": 1.0}, "plateau_factor: expected above 0 and below 1"),
        ({"batch_size": 9, "devices": 2}, "batch_size: expected a multiple of devices = 2, got 9"),
        ({"workers": -1}, "workers: expected at least 0"),
        ({"patch": (8, 0)}, "patch: expected sides of at least 1"),
        ({"augmentation": "nnunt"}, "did you mean nnunet"),
        ({"schedule": "cosinus"}, "did you mean cosine"),
        ({"learning_rte": 1.0}, "unknown training parameter 'learning_rte': did you mean learning_rate"),
    ],
)
def test_values_that_are_not_valid_are_refused(values, message):
    with pytest.raises(InputError, match=message):
        TrainConfig.from_dict(values)


def test_a_patch_may_come_from_json():
    assert TrainConfig.from_dict({"patch": [8, 8]}).patch == (8, 8)
