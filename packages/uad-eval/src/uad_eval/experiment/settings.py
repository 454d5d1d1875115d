"""What an experiment is asked: which cohort, which methods, how prepared and how judged."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from uad_eval.errors import InputError
from uad_eval.experiment.budget import Budget
from uad_eval.experiment.given_text import check_kinds
from uad_models import list_methods


@dataclass(frozen=True)
class MethodSpec:
    """A method and the settings that differ from its preset.

    Parameters
    ----------
    name : str
        A registered method.
    settings : dict of str to str
        Settings of the method or of its training, as text; ``uad_models`` gives them their types.
    """

    name: str
    settings: dict[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``name`` or ``name:key=value,key=value``.

        Parameters
        ----------
        text : str
            Such as ``"vae:latent=spatial,latent_dim=16"``.

        Returns
        -------
        MethodSpec
            The method and its settings; whether they exist is checked when they are used.

        Raises
        ------
        InputError
            If the text is not of that form.
        """
        name, _, rest = text.partition(":")
        pairs = [pair.partition("=") for pair in rest.split(",") if pair]
        if not name or (":" in text and not pairs) or any(not key or not sign for key, sign, _ in pairs):
            raise InputError(f"method {text!r}: expected 'name' or 'name:key=value,key=value', as 'vae:latent_dim=64'")
        return cls(name, {key: value for key, _, value in pairs})

    @classmethod
    def parse_list(cls, text: str) -> tuple[Self, ...]:
        """Read several, between blanks; ``all`` stands for both intensity baselines and every other method.

        Parameters
        ----------
        text : str
            Such as ``"intensity ae vae:latent_dim=64"``, or ``"all"``, or ``"all ae:residual=signed"``.

        Returns
        -------
        tuple of MethodSpec
            In the order of the text.

        Raises
        ------
        InputError
            If a part is not of the form that `parse` reads.
        """
        others = [name for name in list_methods() if name != "intensity"]
        words = {"all": ["intensity", "intensity:equalise=true", *others]}
        return tuple(cls.parse(name) for word in text.split() for name in words.get(word, [word]))

    def __str__(self) -> str:
        """Write it as `parse` reads it."""
        return self.name + (":" if self.settings else "") + ",".join(f"{k}={v}" for k, v in self.settings.items())

    @property
    def slug(self) -> str:
        """The spec as part of a folder name."""
        return re.sub(r"[^A-Za-z0-9.]+", "-", str(self))


@dataclass(frozen=True, kw_only=True)
class ExperimentSettings:
    """Settings of `uad_eval.experiment.run_experiment`.

    Parameters
    ----------
    cohort : str
        ``"phantom"``, ``"lgg"`` or ``"soop"`` (the last two below ``UAD_REAL_DATA``), or the path of a ``cohort.csv``.
    methods : tuple of MethodSpec
        The rows of the table.
    preset : str
        Name of a preset of the methods, ``"quick"`` or ``"paper"``.
    seeds : tuple of int
        One training per method, seed and fold. Methods that learn nothing run under the first seed only.
    folds : int
        0 for the cohort's own split; 2 or more deals the people, stratified by pathology, into so many folds, each the
        test set once. Figures are of all people together.
    validation_share : float
        Of folds: share of the people outside the test fold that are validated on, above 0 and below 1.
    modalities : tuple of str
        Sequences that the methods see, as channels.
    size : tuple of int
        ``(h, w)`` for slices, ``(d, h, w)`` for volumes.
    slices, scaling : str
        See ``uad_data.ArraySpec``.
    pipeline : str
        Name of a post-processing pipeline; its threshold is replaced by those of the protocols.
    false_positive_rate : float
        Of the healthy-validation threshold: share of healthy brain voxels above it, in [0, 1).
    false_positive_ml : float
        Of the healthy-volume threshold: ml that a healthy scan gets marked on average, above 0; of a scan in slices,
        in its lesion-free slices.
    accelerator : str
        ``"auto"``, ``"cpu"`` or ``"cuda"``.
    subjects : int
        Size of the phantom cohort; of no effect on others.
    output : Path
        Results go here.
    cache : Path
        Phantom scans and prepared arrays go here; experiments share it.
    workers : int
        Processes that make phantoms and prepare scans.
    processes : int
        Cells at work at once, each in a process of its own with its share of torch's threads; 0 for one per core, three
        at most, where the methods work on the CPU. The table is the same for any number, but for seconds and memory, as
        long as a process has as many threads; else up to rounding.
    scheduler : str
        Address of a Dask scheduler, such as ``tcp://host:8786``: cells go to its workers instead, which must see the
        same folders and have one thread each.
    budget : str
        ``"steps:500"`` or ``"minutes:2"``: what every training of a method that learns may take at most, over all its
        stages; empty for what the preset or the method's own settings say. By minutes the table is not the same twice.
    """

    cohort: str = "phantom"
    methods: tuple[MethodSpec, ...]
    preset: str = "quick"
    seeds: tuple[int, ...] = (0,)
    folds: int = 0
    validation_share: float = 0.2
    modalities: tuple[str, ...] = ("flair",)
    size: tuple[int, ...] = (96, 96)
    slices: str = "fraction:0.25"
    scaling: str = "percentile:99"
    pipeline: str = "poster2023"
    false_positive_rate: float = 0.02
    false_positive_ml: float = 1.0
    accelerator: str = "auto"
    subjects: int = 60
    output: Path = Path("reports/compare")
    cache: Path = Path(".uad")
    workers: int = 2
    processes: int = 1
    scheduler: str = ""
    budget: str = ""

    def __post_init__(self) -> None:
        check_kinds(self)
        if not self.methods or not self.seeds or not self.modalities:
            raise InputError("an experiment needs at least one method, one seed and one modality")
        if len(set(map(str, self.methods))) < len(self.methods):
            raise InputError(f"methods: expected each once, found {' '.join(map(str, self.methods))}")
        if self.folds < 0 or self.folds == 1:
            raise InputError(f"folds: expected 0 for the cohort's own split, or 2 and more, found {self.folds}")
        if not 0 <= self.false_positive_rate < 1:
            raise InputError(f"false_positive_rate: expected 0 or more and below 1, found {self.false_positive_rate}")
        if not self.false_positive_ml > 0:
            raise InputError(f"false_positive_ml: expected above 0, found {self.false_positive_ml}")
        if self.processes < 0:
            raise InputError(f"processes: expected 0 or more, found {self.processes}")
        if Budget.parse(self.budget):
            own = [str(spec) for spec in self.methods if {"steps", "minutes"} & spec.settings.keys()]
            if own:
                raise InputError(
                    f"budget {self.budget}: expected methods without steps or minutes of their own, found {own[0]}; "
                    "leave out one of the two"
                )

    @property
    def cohort_name(self) -> str:
        """The cohort's name in tables: of a file its folder and stem."""
        path = Path(self.cohort)
        if path.suffix != ".csv":
            return self.cohort
        return path.absolute().parent.name if path.stem == "cohort" else path.stem
