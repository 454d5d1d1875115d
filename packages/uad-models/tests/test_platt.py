"""Platt scaling against scikit-learn, and where there is nothing to fit."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from uad_models.platt import platt_scale


def draw(slope: float, offset: float, n: int = 20_000) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    score = 3 * torch.randn(n, generator=generator)
    chance = torch.sigmoid(slope * score + offset)
    return score, torch.rand(n, generator=generator) < chance


@pytest.mark.parametrize(("slope", "offset"), [(0.5, -3.0), (2.0, 1.0), (1.0, -6.0)])
def test_it_finds_what_logistic_regression_finds(slope, offset) -> None:
    score, positive = draw(slope, offset)
    reference = LogisticRegression(C=np.inf).fit(score.numpy()[:, None], positive.numpy())
    found = platt_scale(score, positive)
    assert found == pytest.approx((reference.coef_.item(), reference.intercept_.item()), rel=0.02, abs=0.02)
    assert found == pytest.approx((slope, offset), rel=0.2, abs=0.2)


def test_classes_that_are_apart_give_finite_numbers() -> None:
    score = torch.tensor([-900.0, -800.0, 700.0, 900.0])
    slope, offset = platt_scale(score, score > 0)
    assert 0 < slope < 1e3
    assert abs(offset) < 1e3


@pytest.mark.parametrize("positive", [torch.zeros(4), torch.ones(4)])
def test_one_class_alone_changes_nothing(positive) -> None:
    assert platt_scale(torch.arange(4.0), positive.bool()) == (1.0, 0.0)


def test_scores_that_fall_with_the_label_keep_their_order() -> None:
    assert platt_scale(torch.arange(100.0), torch.arange(100) < 50) == (1.0, 0.0)
