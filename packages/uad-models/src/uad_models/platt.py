"""Platt scaling: turn scores into probabilities by two numbers, without changing their order.

Source: Platt, "Probabilistic outputs for support vector machines and comparisons to regularized likelihood methods",
Advances in large margin classifiers, 1999, with the targets of its section 2.2.
"""

import torch
from torch import Tensor

_ITERATIONS = 50


def platt_scale(score: Tensor, positive: Tensor) -> tuple[float, float]:
    """Fit ``sigmoid(slope * score + offset)`` to labels by cross-entropy.

    Parameters
    ----------
    score
        ``(v,)`` float.
    positive
        ``(v,)`` bool.

    Returns
    -------
    slope, offset : float
        The slope is above 0; 1 and 0 where one of the classes is missing, or where scores do not rise with the labels.
    """
    score, positive = score.cpu(), positive.cpu()  # two numbers are fitted; and some devices have no float64
    count, most = float(positive.sum()), float(positive.numel())
    if count in (0.0, most):
        return 1.0, 0.0
    x = torch.stack((score.double(), torch.ones_like(score, dtype=torch.float64)))
    target = torch.where(positive, (count + 1) / (count + 2), 1 / (most - count + 2)).double()
    weights = torch.tensor([1.0, 0.0], dtype=torch.float64, device=score.device)
    before = _cross_entropy(weights, x, target)
    for _ in range(_ITERATIONS):
        chance = (weights @ x).sigmoid()
        gradient = x @ (chance - target)
        curvature = (x * (chance * (1 - chance))) @ x.T + 1e-9 * torch.eye(2, dtype=torch.float64, device=x.device)
        step, size = torch.linalg.solve(curvature, gradient), 1.0
        # Newton's step, halved until it is one down.
        while (after := _cross_entropy(weights - size * step, x, target)) > before and size > 1e-6:
            size /= 2
        weights, gained, before = weights - size * step, before - after, after
        if gained < 1e-9 * most:
            break
    slope, offset = weights.tolist()
    return (slope, offset) if slope > 0 else (1.0, 0.0)


def _cross_entropy(weights: Tensor, x: Tensor, target: Tensor) -> float:
    """Sum over voxels."""
    logit = weights @ x
    return float(torch.nn.functional.binary_cross_entropy_with_logits(logit, target, reduction="sum"))
