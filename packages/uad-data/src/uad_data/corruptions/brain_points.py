"""Random voxels of each brain."""

import torch
from einops import rearrange
from torch import Tensor

from uad_data.corruptions.draws import uniform


def brain_points(brain: Tensor, count: int, *, generator: torch.Generator | None) -> Tensor:
    """Draw voxels uniformly from each brain, with replacement.

    Parameters
    ----------
    brain : Tensor
        ``(b, 1, *s)`` bool.
    count : int
        Voxels per brain.
    generator : torch.Generator, optional
        Source of the draws.

    Returns
    -------
    Tensor
        ``(b, k, n)`` int64, `count` positions; the last voxel of the image where a brain is empty.
    """
    share = uniform(0, 1, (len(brain), count), generator, brain.device).double()
    lines = rearrange(brain, "b 1 ... w -> b (...) w").view(torch.uint8)
    # Sums of bytes are fast, where they cannot overflow.
    narrow = torch.uint8 if lines.shape[2] < 256 else torch.int32
    held = lines.sum(-1, dtype=narrow).long()
    # First the line, by how many brain voxels come before it, then the voxel within the line.
    until = held.cumsum(-1)
    rank = (share * until[:, -1:]).long().minimum((until[:, -1:] - 1).clamp(min=0))
    line = torch.searchsorted(until, rank, right=True).clamp(max=until.shape[1] - 1)
    before = until.gather(1, line) - held.gather(1, line)
    first = torch.arange(len(brain), device=brain.device)[:, None] * lines.shape[1]
    chosen = lines.flatten(0, 1).index_select(0, (first + line).flatten()).view(*line.shape, -1)
    within = (rank - before)[..., None].to(narrow)
    last = torch.searchsorted(chosen.cumsum(-1, dtype=narrow), within, right=True)[..., 0].clamp(max=lines.shape[2] - 1)
    if brain.ndim == 4:
        return torch.stack((line, last), dim=-1)
    return torch.stack((line // brain.shape[3], line % brain.shape[3], last), dim=-1)
