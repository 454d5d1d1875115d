"""The trainings of the study of `synthetic_unet`: which made-up lesions, how long, how wide."""

from dataclasses import dataclass, field

from uad_data.corruptions.lesions import KINDS
from uad_eval.errors import InputError
from uad_eval.experiment.settings import MethodSpec

ALL_KINDS = "all kinds"
_COARSE = 2  # supervised coarse outputs of `synthetic_unet` where its network is deep enough
_WARMUP = 50  # steps, of the longest; short trainings warm up for a fifth of theirs


@dataclass(frozen=True, kw_only=True)
class SyntheticPlan:
    """Variants of `synthetic_unet` by name; each differs from the base in one thing.

    Parameters
    ----------
    steps : int
        Of every training but those of `step_counts`.
    channels : tuple of int
        Widths of the network of every training but those of `widths`.
    validation_kind : str
        The kind of made-up lesion that no training sees: the weights are chosen and the map is calibrated by it, so
        that all variants are chosen alike.
    kinds : tuple of str
        Kinds to leave out, one by one, and to train on alone; empty for all but the one of validation.
    step_counts : tuple of int
        Lengths of training to compare.
    widths : tuple of tuple of int
        Networks to compare.
    training : dict of str to str
        Further settings of all trainings, as text.

    Raises
    ------
    InputError
        A kind does not exist or is the validation kind, or a length is below 1.
    """

    steps: int
    channels: tuple[int, ...]
    validation_kind: str = "intensity_shift"
    kinds: tuple[str, ...] = ()
    step_counts: tuple[int, ...] = ()
    widths: tuple[tuple[int, ...], ...] = ()
    training: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if min((self.steps, *self.step_counts)) < 1:
            raise InputError(f"steps and step_counts: expected at least 1, found {self.steps} and {self.step_counts}")
        known = [kind for kind in KINDS if kind != self.validation_kind]
        if self.validation_kind not in KINDS:
            raise InputError(f"validation_kind: expected one of {', '.join(KINDS)}, found {self.validation_kind!r}")
        for kind in self.kinds:
            if kind not in known:
                raise InputError(
                    f"kinds: expected some of {', '.join(known)}, which are all but the validation kind, found {kind!r}"
                )
        object.__setattr__(self, "kinds", tuple(dict.fromkeys(self.kinds)) or tuple(known))

    @property
    def base(self) -> MethodSpec:
        """All kinds, `steps` and `channels`."""
        return self._spec()

    @property
    def left_out(self) -> dict[str, MethodSpec]:
        """All kinds, and all but each, by name."""
        trained = [kind for kind in KINDS if kind != self.validation_kind]
        variants = {f"without {out}": [kind for kind in trained if kind != out] for out in self.kinds}
        return {ALL_KINDS: self.base} | {name: self._spec(kinds=left) for name, left in variants.items()}

    @property
    def alone(self) -> dict[str, MethodSpec]:
        """All kinds, and each alone, by name."""
        return {ALL_KINDS: self.base} | {f"{kind} alone": self._spec(kinds=[kind]) for kind in self.kinds}

    @property
    def by_steps(self) -> dict[int, MethodSpec]:
        """Steps to variant, `steps` among them."""
        return {steps: self._spec(steps=steps) for steps in sorted({*self.step_counts, self.steps})}

    @property
    def by_width(self) -> dict[tuple[int, ...], MethodSpec]:
        """Network to variant, `channels` among them, narrow and shallow first."""
        ordered = sorted({*self.widths, self.channels}, key=lambda widths: (sum(widths), widths))
        return {widths: self._spec(channels=widths) for widths in ordered}

    @property
    def methods(self) -> tuple[MethodSpec, ...]:
        """All variants, each once, the base first."""
        groups: tuple[dict, ...] = (self.left_out, self.alone, self.by_steps, self.by_width)
        return tuple({str(spec): spec for group in groups for spec in group.values()}.values())

    def _spec(
        self, *, steps: int | None = None, channels: tuple[int, ...] | None = None, kinds: list[str] | None = None
    ) -> MethodSpec:
        """Make a variant."""
        steps, channels = steps or self.steps, channels or self.channels
        stages = len(channels)
        settings = {
            "steps": str(steps),
            "warmup_steps": str(min(_WARMUP, steps // 5)),
            "channels": "+".join(map(str, channels)),
            "held_out": self.validation_kind,
        }
        if stages <= _COARSE:
            settings["coarse"] = str(stages - 1)  # a network has fewer coarse outputs than stages
        settings |= {"kinds": "+".join(kinds)} if kinds else {}
        return MethodSpec("synthetic_unet", settings | self.training)
