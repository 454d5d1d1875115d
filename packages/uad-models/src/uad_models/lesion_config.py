"""What methods that learn from made-up lesions are told of them: which kinds they are trained on, and chosen by.

Paper: to train on some kinds of made-up lesions and to choose by others is the idea of Baugh et al., "Many tasks make
light work: learning to localise medical anomalies from multiple synthetic tasks", MICCAI 2023
(https://arxiv.org/abs/2307.00899).
"""

from dataclasses import dataclass

from uad_data.corruptions.lesions.lesion_mix import LesionMix
from uad_data.corruptions.lesions.sequences import SEQUENCES
from uad_data.errors import InputError
from uad_models.method import MethodConfig


@dataclass(frozen=True)
class LesionConfig(MethodConfig):
    """Settings of a method that learns from made-up lesions.

    Parameters
    ----------
    in_channels, size
        See `MethodConfig`.
    modalities
        The sequence of each channel: whose prior made-up lesions follow (`uad_data.corruptions.lesions.sequences`).
        Follows from the images where they are known; one name serves all channels.
    kinds
        Kinds of lesions to train on (names of `uad_data.corruptions.lesions.lesion_mix.KINDS`), by the weights of
        `LesionMix`; empty for all that are not held out.
    held_out
        Kinds that are kept from training; the weights are chosen by the loss on these, in healthy validation images.
    """

    modalities: tuple[str, ...] = ("flair",)
    kinds: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ("intensity_shift",)

    def check(self) -> None:
        """Refuse sequences without a prior, kinds that do not exist, and kinds both trained on and held out."""
        if len(self.modalities) not in (1, self.in_channels):
            raise InputError(f"modalities: expected one name, or {self.in_channels}, got {self.modalities}")
        unknown = [name for name in self.modalities if name not in SEQUENCES]
        if unknown:
            raise InputError(f"modalities: expected some of {', '.join(SEQUENCES)}, got {unknown[0]!r}")
        if not self.held_out:
            raise InputError("held_out: expected at least one kind, by which the weights are chosen, got none")
        both = set(self.kinds) & set(self.held_out)
        if both:
            raise InputError(f"kinds and held_out: {min(both)!r} is in both; name it in one of them")
        self.trained_mix()
        self.held_out_mix()

    def trained_mix(self) -> LesionMix:
        """Return the mix to train on."""
        mix = LesionMix.of(*self.modalities)
        return mix.only(*self.kinds) if self.kinds else mix.without(*self.held_out)

    def held_out_mix(self) -> LesionMix:
        """Return the mix to choose the weights by."""
        return LesionMix.of(*self.modalities).only(*self.held_out)
