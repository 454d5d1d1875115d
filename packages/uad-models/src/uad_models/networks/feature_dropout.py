"""Dropout of whole feature maps, whose masks come from a generator and may be shared by a batch.

Papers
------
Gal, Ghahramani, "Dropout as a Bayesian approximation: representing model uncertainty in deep learning", ICML 2016
(https://arxiv.org/abs/1506.02142): dropout that is left on gives samples of what the network believes.

Tompson, Goroshin, Jain, LeCun, Bregler, "Efficient object localization using convolutional networks", CVPR 2015
(https://arxiv.org/abs/1411.4280), section 3.1: whole maps are dropped, because neighbouring values say the same.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class FeatureDropout:
    """Zeroes each feature map with a probability and scales up the others, so that the mean stays.

    Parameters
    ----------
    rate
        Probability, at least 0 and below 1.
    generator
        Source of the masks; None means torch's global one. Drawn on the generator's own device: one of the CPU gives
        the same masks wherever the features are.
    shared
        One mask for every image of the batch, so that an image is treated alike in whatever company.
    """

    rate: float
    generator: torch.Generator | None = None
    shared: bool = False

    def __call__(self, features: Tensor) -> Tensor:
        """Return the features with some maps dropped.

        Parameters
        ----------
        features
            ``(b, c, *s)``.

        Returns
        -------
        Tensor
            ``(b, c, *s)``.
        """
        shape = (1 if self.shared else len(features), features.shape[1], *(1 for _ in features.shape[2:]))
        device = features.device if self.generator is None else self.generator.device
        kept = torch.rand(shape, generator=self.generator, device=device) >= self.rate
        return features * (kept.to(features.device, features.dtype) / (1 - self.rate))
