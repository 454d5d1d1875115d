import pytest
import torch
from torch import nn

from uad_models.method import Method, MethodConfig
from uad_models.moving_average import MovingAverage


class Counted(Method):
    name = "counted"

    def __init__(self) -> None:
        super().__init__(MethodConfig())
        self.weight = nn.Parameter(torch.zeros(1))
        self.register_buffer("count", torch.zeros((), dtype=torch.long))


def test_average_follows_the_recurrence_and_copies_buffers():
    method = Counted()
    average = MovingAverage(method, 0.15)
    expected = 0.0
    for step, decay in enumerate((1 / 10, 0.15, 0.15)):
        with torch.no_grad():
            method.weight.fill_(step + 1.0)
            method.count.fill_(step)
        average.update(method, step)
        expected = decay * expected + (1 - decay) * (step + 1)
    assert average.method.weight.item() == pytest.approx(expected)
    assert average.method.count.item() == 2
    assert method.weight.item() == 3
