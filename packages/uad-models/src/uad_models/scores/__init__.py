"""Scores: what makes a voxel or an image anomalous, apart from the method that expects it to look otherwise.

`residual_map` needs an image and its reconstruction only. `kl_gradient`, `mahalanobis` and the sample scores ask a
method for more: see `uad_models.scores.code_model`.
"""

from uad_models.scores.residual_map import RESIDUALS, Residual, check_residual, residual_map

__all__ = ["RESIDUALS", "Residual", "check_residual", "residual_map"]
