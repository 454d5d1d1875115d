"""How visibly an image was changed: a logistic function of the change of intensity.

Paper: Schlüter et al., "Natural synthetic anomalies for self-supervised anomaly detection and localization", ECCV 2022
(https://arxiv.org/abs/2109.15222), section 3.2: the label is ``1 / (1 + exp(-k (|change| - x0)))``, its noise
removed by a filter; in the authors' code x0 is 24 of 255 grey values and k 1 / 12 for most objects.

Deviations: the change is relative to the mean of the brain, so that it does not depend on an image's scaling; the
largest of the channels counts (the authors: their mean); a Gaussian takes the place of their median filter, before the
function rather than after; and the label of no change is exactly 0.
"""

import math

from torch import Tensor

from uad_data.corruptions.lesions.smoothing import blur
from uad_data.corruptions.lesions.tissue import brain_mean

#: Change, relative to the mean of the brain, whose label is one half, and the change that the function rises over.
_HALF, _RISE = 0.12, 0.03
#: Standard deviation of the Gaussian, in voxels.
_SMOOTH = 1.0


def visible_change(before: Tensor, after: Tensor, inside: Tensor) -> Tensor:
    """Rate the change of each voxel.

    Parameters
    ----------
    before, after : Tensor
        ``(b, c, *s)`` float32.
    inside : Tensor
        ``(b, 1, *s)`` float32, 1 in the brain and 0 elsewhere.

    Returns
    -------
    Tensor
        ``(b, 1, *s)`` float32, 0 (as it was) to 1; 0 outside the brain.
    """
    change = (after - before).abs_().div_(brain_mean(before, inside)).amax(1, keepdim=True)
    rated = blur(change, _SMOOTH).sub_(_HALF).mul_(1 / _RISE).sigmoid_()
    # What no change is rated at, and a little for rounding, is taken off.
    none = 1 / (1 + math.exp(_HALF / _RISE)) + 1e-4
    return rated.sub_(none).mul_(1 / (1 - none)).clamp_(0, 1).mul_(inside)
