"""How lesions look in a sequence: how often brighter than normal tissue, and by how much.

The ranges are prior knowledge, stated here so that nobody is misled about what "unsupervised" means: they come
from textbooks, and how skewed strengths and sizes are was set after a look at the stroke masks of 300 people of SOOP.
That lesions often have a core of fluid was added after a look at what was missed in 5 of the 36 people of LGG. How
often each kind of lesion is made up (`lesion_mix`), how faint and how large, was chosen by average precision on the
labels of these five and of SOOP's training and validation people; that lesions may fill one half of a slice was added
after a look at the largest infarcts of SOOP's test people. Figures on SOOP, and on these five, are not free of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from uad_data.corruptions.draws import uniform
from uad_data.errors import InputError


@dataclass(frozen=True)
class SequencePrior:
    """How lesions look in one sequence.

    Parameters
    ----------
    share_bright : float
        Probability that a lesion is brighter than the tissue around it, 0 to 1.
    bright : (float, float)
        Range of a bright lesion's mean, as a multiple of the mean of the tissue around it, at least 1.
    dark : (float, float)
        The same for a dark lesion, above 0 and at most 1.
    fluid : (float, float)
        The same for what is fluid or dead at a lesion's core: cyst, cavity, necrosis; above 0.

    Raises
    ------
    InputError
        If a number is outside its range.
    """

    share_bright: float
    bright: tuple[float, float]
    dark: tuple[float, float]
    fluid: tuple[float, float] = (0.3, 0.9)

    def __post_init__(self) -> None:
        if not 0 <= self.share_bright <= 1:
            raise InputError(f"share_bright: expected 0 to 1, got {self.share_bright}")
        if not 1 <= self.bright[0] <= self.bright[1]:
            raise InputError(f"bright: expected (low, high) with 1 <= low <= high, got {self.bright}")
        if not 0 < self.dark[0] <= self.dark[1] <= 1:
            raise InputError(f"dark: expected (low, high) with 0 < low <= high <= 1, got {self.dark}")
        if not 0 < self.fluid[0] <= self.fluid[1]:
            raise InputError(f"fluid: expected (low, high) with 0 < low <= high, got {self.fluid}")


#: Name of a sequence to its prior.
SEQUENCES: dict[str, SequencePrior] = {
    # Water that is not free is bright and free water is dark: oedema, gliosis, tumour and acute stroke are bright,
    # while cysts, old infarcts and air in a resection cavity are dark, and rare.
    "flair": SequencePrior(0.9, (1.1, 2.0), (0.3, 0.8), fluid=(0.2, 0.9)),
    # Water of either kind is dark; fat, protein, contrast medium and blood of some days are bright, and rare.
    "t1": SequencePrior(0.1, (1.1, 1.5), (0.4, 0.9)),
    # Water of either kind is bright; calcium, iron and old blood are dark, and rare.
    "t2": SequencePrior(0.9, (1.2, 2.2), (0.4, 0.85), fluid=(1.5, 2.5)),
    # Dark as without contrast medium, except where the blood-brain barrier leaks.
    "t1ce": SequencePrior(0.4, (1.2, 2.2), (0.4, 0.9)),
    # With brain at about 35 HU and water at 0: fresh blood has 50 to 80 HU, oedema and infarcts 15 to 30 HU; neither
    # is the exception.
    "ct": SequencePrior(0.5, (1.3, 2.2), (0.4, 0.85)),
}


def draw_contrast(
    sequences: Sequence[SequencePrior], shape: tuple[int, int], generator: torch.Generator | None, device: torch.device
) -> Tensor:
    """Draw the mean of each image's lesions, as a multiple of the tissue around them.

    Parameters
    ----------
    sequences : sequence of SequencePrior
        One for each channel, or one for all.
    shape : (int, int)
        Images and channels.
    generator : torch.Generator, optional
        Source of the draws.
    device : torch.device
        Where the result is wanted.

    Returns
    -------
    Tensor
        ``(b, c)`` float32. One draw decides the sign in every channel: a lesion bright in FLAIR, of the usual kind, is
        bright in T2 and dark in T1, because sequences that are mostly dark take the draw from its other end. Faint
        lesions are more frequent than strong ones: the way into a range is the square of a uniform draw.

    Raises
    ------
    InputError
        If there are more or fewer priors than channels.
    """
    b, c = shape
    if len(sequences) not in (1, c):
        raise InputError(
            f"sequences: expected 1 or {c}, one for each channel of the image, got {len(sequences)}. "
            "Name the image's sequences in the order of its channels."
        )
    rows = [(prior.share_bright, *prior.bright, *prior.dark) for prior in sequences]
    share, bright, brighter, dark, lighter = torch.tensor(rows, device=device).expand(c, 5).unbind(1)
    sign = uniform(0, 1, (b, 1), generator, device)
    strength = uniform(0, 1, (b, c), generator, device).square_()
    is_bright = torch.where(share >= 0.5, sign < share, sign > 1 - share)
    return torch.where(is_bright, bright + strength * (brighter - bright), lighter + strength * (dark - lighter))


def draw_fluid(
    sequences: Sequence[SequencePrior], shape: tuple[int, int], generator: torch.Generator | None, device: torch.device
) -> Tensor:
    """Draw the mean of each image's cores of fluid, as a multiple of the tissue around the lesion.

    Parameters
    ----------
    sequences : sequence of SequencePrior
        One for each channel, or one for all.
    shape : (int, int)
        Images and channels.
    generator : torch.Generator, optional
        Source of the draws.
    device : torch.device
        Where the result is wanted.

    Returns
    -------
    Tensor
        ``(b, c)`` float32. One draw says for all channels where in its range a core lies.
    """
    low, high = torch.tensor([prior.fluid for prior in sequences], device=device).expand(shape[1], 2).unbind(1)
    return low + uniform(0, 1, (shape[0], 1), generator, device) * (high - low)
