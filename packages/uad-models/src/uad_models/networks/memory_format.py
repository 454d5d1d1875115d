"""How features lie in memory: channels innermost, which convolutions with few channels are a quarter faster on."""

import torch

CHANNELS_LAST = {2: torch.channels_last, 3: torch.channels_last_3d}
"""By the number of spatial axes."""
