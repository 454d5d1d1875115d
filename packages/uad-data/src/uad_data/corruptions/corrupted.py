"""What a corruption returns when there is more to say than the image."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Corrupted:
    """A corrupted image and where it was changed.

    Parameters
    ----------
    image : Tensor
        ``(b, c, *s)``, of the type of the image given.
    mask : Tensor
        ``(b, 1, *s)`` bool: the voxels that were changed, all inside the brain.
    """

    image: Tensor
    mask: Tensor


@dataclass(frozen=True)
class Blended(Corrupted):
    """A corrupted image, where it was changed, and by how much.

    Parameters
    ----------
    image, mask
        See `Corrupted`.
    soft : Tensor
        ``(b, 1, *s)`` float32 from 0 to 1: share of the anomaly in each voxel; 0 outside the brain.
    """

    soft: Tensor


@dataclass(frozen=True)
class Moved:
    """An image moved as a whole, and the classes of its movement.

    Parameters
    ----------
    image : Tensor
        ``(b, c, *s)``; 0 where nothing was moved to.
    brain : Tensor
        ``(b, 1, *s)`` bool, moved alike.
    rotation : Tensor
        ``(b,)`` int64, 0 to 3: quarter turns, in the direction of `torch.rot90` from h to w.
    translation : Tensor
        ``(b, n)`` int64, one for each spatial axis: 0 towards lower index, 1 none, 2 towards higher index.
    """

    image: Tensor
    brain: Tensor
    rotation: Tensor
    translation: Tensor
