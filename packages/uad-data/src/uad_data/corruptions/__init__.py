"""Corruptions of healthy images, for methods that learn to undo them: batched in torch, one file per idea.

Importing this needs torch, which the rest of ``uad_data`` does not.
"""

from uad_data.corruptions.coarse_noise import coarse_noise

__all__ = ["coarse_noise"]
