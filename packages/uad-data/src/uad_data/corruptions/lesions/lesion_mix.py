"""A mix of made-up lesions: each image of a batch gets one kind, drawn by weight, or stays healthy.

Paper: training one network on many kinds of made-up anomalies, and choosing it by kinds that it was not trained on, is
the idea of Baugh et al., "Many tasks make light work: learning to localise medical anomalies from multiple synthetic
tasks", MICCAI 2023 (https://arxiv.org/abs/2307.00899).

Deviations: kinds, weights and priors are ours, and visible below; a batch mixes several kinds.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any

import torch
from torch import Tensor

from uad_data.corruptions.corrupted import Blended
from uad_data.corruptions.corruption import corruption
from uad_data.corruptions.draws import integers, uniform
from uad_data.corruptions.foreign_patch import foreign_patch
from uad_data.corruptions.lesions.blur_noise import blur_noise
from uad_data.corruptions.lesions.cut_paste import cut_paste
from uad_data.corruptions.lesions.deformation import deformation
from uad_data.corruptions.lesions.donors import mirrored_others
from uad_data.corruptions.lesions.draem_texture import draem_texture
from uad_data.corruptions.lesions.field_blobs import field_blobs
from uad_data.corruptions.lesions.foreign_interpolation import foreign_interpolation
from uad_data.corruptions.lesions.intensity_shift import intensity_shift
from uad_data.corruptions.lesions.nsa import nsa
from uad_data.corruptions.lesions.sequences import SEQUENCES, SequencePrior
from uad_data.errors import InputError

#: Name of a kind to its corruption. The order is that in which kinds draw from the generator.
KINDS: dict[str, Callable[..., Blended]] = {
    "field_blobs": field_blobs,
    "foreign_interpolation": foreign_interpolation,
    "foreign_patch": foreign_patch,
    "nsa": nsa,
    "cut_paste": cut_paste,
    "draem_texture": draem_texture,
    "intensity_shift": intensity_shift,
    "deformation": deformation,
    "blur_noise": blur_noise,
}

# Blobs are most like lesions, so they are most of what is trained on: the larger their share, the better a network did
# on real lesions. The other kinds keep it from learning the look of blobs rather than what is not normal. Hard edges
# (cut_paste) and mere loss of detail (blur_noise) are least like lesions.
_WEIGHTS = {
    "field_blobs": 0.66,
    "foreign_interpolation": 0.03,
    "foreign_patch": 0.03,
    "nsa": 0.06,
    "cut_paste": 0.02,
    "draem_texture": 0.03,
    "intensity_shift": 0.10,
    "deformation": 0.05,
    "blur_noise": 0.02,
}


# Where a sequence alone is looked at, what other sequences would show better counts for more.
_ALONE = {
    # Fainter than on FLAIR: mass effect is often what shows first.
    "t1": {"deformation": 0.15},
    "t1ce": {"deformation": 0.15},
    # Infarcts are large and blurred.
    "ct": {"intensity_shift": 0.20},
}


@dataclass(frozen=True)
class LesionMix:
    """What lesions to make up.

    Parameters
    ----------
    sequences : tuple of SequencePrior
        Sign and strength of the contrast: one for each channel, or one for all.
    weights : mapping of str to float
        Kind (a name of `KINDS`) to its weight, at least 0; a kind that is not named has weight 0.
    counts : tuple of float
        Weights of one, two, three, ... lesions in an image, for kinds made of blobs.
    smallest : float
        Fewest voxels of a lesion, about, above 0.
    largest : float
        Most of the brain that lesions of an image take, about, above 0 and at most 1; log volumes are uniform.
    healthy : float
        Share of images left as they are, 0 to 1.
    draws : int
        How many kinds are drawn for a batch, with repetition, at least 1; each image gets one of them. A kind costs
        time however few its images are, so that fewer draws are faster, and more make batches more alike.

    Raises
    ------
    InputError
        If a kind is unknown, no weight is above 0, or a number is outside its range.
    """

    sequences: tuple[SequencePrior, ...] = (SEQUENCES["flair"],)
    weights: Mapping[str, float] = field(default_factory=lambda: dict(_WEIGHTS))
    # Most slices of a person with a lesion show one; multiple sclerosis and small-vessel disease show many.
    counts: tuple[float, ...] = (5.0, 2.0, 1.0, 1.0, 0.5, 0.5)
    # Real lesions' shares of a slice span three decades about evenly, which uniform log volumes do too.
    smallest: float = 4.0
    # A quarter of the brain is much in a volume; in a slice an infarct or a tumour may take most of one half.
    largest: float = 0.5
    # A network that has never seen a whole healthy slice calls something in every one of them.
    healthy: float = 0.2
    draws: int = 5

    def __post_init__(self) -> None:
        _check_kinds(self.weights)
        if min(self.weights.values(), default=0) < 0 or sum(self.weights.values()) <= 0:
            raise InputError(f"weights: expected at least 0, one of them above 0, got {dict(self.weights)}")
        if not self.counts or min(self.counts) < 0 or sum(self.counts) <= 0:
            raise InputError(f"counts: expected weights of at least 0, one of them above 0, got {self.counts}")
        if self.smallest <= 0 or not 0 < self.largest <= 1:
            raise InputError(
                "smallest and largest: expected voxels above 0 and a share of the brain above 0 and up to 1, "
                f"got {self.smallest} and {self.largest}"
            )
        if not 0 <= self.healthy <= 1 or self.draws < 1:
            raise InputError(f"healthy and draws: expected 0 to 1, and at least 1, got {self.healthy} and {self.draws}")

    @classmethod
    def of(cls, *modalities: str) -> "LesionMix":
        """Return the mix for an image's channels.

        Parameters
        ----------
        *modalities : str
            Name of each channel, a name of `SEQUENCES`.

        Returns
        -------
        LesionMix
            With the prior of each, and where there is one channel with what its sequence calls for.

        Raises
        ------
        InputError
            If a name is unknown.
        """
        for name in modalities:
            if name not in SEQUENCES:
                raise InputError(
                    f"modality {name!r}: expected one of {', '.join(SEQUENCES)}. "
                    "For another sequence give LesionMix a SequencePrior of its own."
                )
        more = _ALONE.get(modalities[0], {}) if len(modalities) == 1 else {}
        return cls(sequences=tuple(SEQUENCES[name] for name in modalities), weights=_WEIGHTS | more)

    def only(self, *kinds: str) -> "LesionMix":
        """Return the mix with these kinds alone, to train on some and validate on others.

        Parameters
        ----------
        *kinds : str
            Names of `KINDS`; one that had no weight gets the mean weight.

        Returns
        -------
        LesionMix
            The mix.

        Raises
        ------
        InputError
            If a kind is unknown.
        """
        _check_kinds(kinds)
        mean = sum(self.weights.values()) / len(self.weights)
        return replace(self, weights={kind: self.weights.get(kind) or mean for kind in kinds})

    def without(self, *kinds: str) -> "LesionMix":
        """Return the mix without these kinds, the rest keeping their weights.

        Parameters
        ----------
        *kinds : str
            Names of `KINDS`.

        Returns
        -------
        LesionMix
            The mix.

        Raises
        ------
        InputError
            If a kind is unknown, or none is left.
        """
        _check_kinds(kinds)
        return replace(self, weights={kind: weight for kind, weight in self.weights.items() if kind not in kinds})


def _check_kinds(kinds: Mapping[str, float] | tuple[str, ...]) -> None:
    """Refuse a kind that does not exist."""
    for kind in kinds:
        if kind not in KINDS:
            near = get_close_matches(kind, KINDS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise InputError(f"lesion kind {kind!r}: expected one of {', '.join(KINDS)}.{hint}")


#: Name of a sequence to its mix; the reasons for sign and strength are with `SEQUENCES`.
MIXES: dict[str, LesionMix] = {name: LesionMix.of(name) for name in SEQUENCES}


def _options(kind: str, mix: LesionMix, foreign: Tensor) -> dict[str, Any]:
    """Return what a mix says about one kind."""
    # A square or cube of this half-width is about the largest share of a brain that fills half of the image.
    width = 0.35 * mix.largest**0.5
    blobs = {"counts": mix.counts, "largest": mix.largest}
    options: dict[str, dict[str, Any]] = {
        "field_blobs": blobs | {"smallest": mix.smallest, "sequences": mix.sequences},
        "foreign_interpolation": blobs | {"smallest": mix.smallest, "foreign": foreign},
        "foreign_patch": {"half_width": (min(0.03, width), width), "foreign": foreign, "tolerance": 0.05},
        "nsa": {"half_width": (min(0.03, width), width), "foreign": foreign},
        "cut_paste": {"share": (min(0.02, mix.largest), min(0.15, mix.largest))},
        "draem_texture": {"foreign": foreign},
        "intensity_shift": blobs | {"smallest": mix.smallest, "sequences": mix.sequences},
        "deformation": {"size": (min(0.01, mix.largest), mix.largest), "sequences": mix.sequences},
        "blur_noise": blobs | {"smallest": 4 * mix.smallest},
    }
    return options[kind]


@corruption
def mix_lesions(
    image: Tensor,
    brain: Tensor,
    *,
    mix: LesionMix = MIXES["flair"],
    generator: torch.Generator | None = None,
) -> Blended:
    """Give each image a lesion of a kind drawn by weight, or leave it healthy.

    Parameters
    ----------
    image : Tensor
        ``(b, c, *s)``, ``*s`` being ``(h, w)`` or ``(d, h, w)``, every side at least 3; not negative, 0 outside the
        brain.
    brain : Tensor
        ``(b, 1, *s)`` bool.
    mix : LesionMix
        What lesions to make up.
    generator : torch.Generator, optional
        Source of kinds and lesions.

    Returns
    -------
    Blended
        The image, the voxels that are lesion, and how much they were changed, 0 to 1; both labels are empty for an
        image left healthy.

    Raises
    ------
    InputError
        If the shapes or types of image and brain do not fit, or there are too many or too few sequences.
    """
    names = [kind for kind in KINDS if mix.weights.get(kind, 0) > 0]
    until = torch.tensor([mix.weights[kind] for kind in names]).cumsum(0)
    # The draws stay on the processor, so that no group's size has to be read back from an accelerator.
    here = torch.device("cpu")
    sick = uniform(0, 1, (len(image),), generator, here) >= mix.healthy
    drawn = uniform(0, 1, (mix.draws,), generator, here) * until[-1]
    kinds = torch.searchsorted(until, drawn, right=True).clamp(max=len(names) - 1)
    kind = kinds[integers(0, mix.draws - 1, (len(image),), generator, here)]
    foreign = mirrored_others(image, generator)
    result, mask = image.clone(memory_format=torch.contiguous_format), torch.zeros_like(brain)
    soft = torch.zeros(brain.shape, device=image.device)
    for number, name in enumerate(names):
        rows = ((kind == number) & sick).nonzero()[:, 0].to(image.device)
        if len(rows) == 0:
            continue
        options = _options(name, mix, foreign[rows])
        made = KINDS[name](image[rows], brain[rows], **options, generator=generator)
        for whole, part in ((result, made.image), (mask, made.mask), (soft, made.soft)):
            whole.index_copy_(0, rows, part)
    return Blended(result, mask, soft)
