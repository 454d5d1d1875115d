"""The steps of a recipe, in the order they usually stand. Each is optional and says what it found."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, Protocol

import nibabel as nib
import numpy as np

from uad_data.brain_extraction import EXTRACTORS, extract_brain
from uad_data.errors import InputError
from uad_data.preparation.bias_field import bias_field
from uad_data.preparation.registration import register
from uad_data.preparation.resampling import centred_grid, regular_grid
from uad_data.preparation.study import Layer, Study
from uad_data.preparation.templates import load_template
from uad_data.scaling import check_scaling_rule

Found = dict[str, Any]


class Step(Protocol):
    """What a recipe is made of: a frozen dataclass of settings with a name."""

    name: ClassVar[str]

    def apply(self, study: Study) -> Found:
        """Change the study; return what is worth recording, as JSON types."""
        ...


@dataclass(frozen=True, kw_only=True)
class Reorient:
    """Turn the axes to the nearest of right, anterior, superior; no voxel is interpolated.

    Reading does it, whatever the recipe says, because every array of this package is RAS+; the step records where the
    file's axes pointed.
    """

    name: ClassVar[str] = "reorient"

    def apply(self, study: Study) -> Found:
        """Record the directions."""
        affine = study.images[study.reference].affine
        tilt = np.degrees(np.arccos(np.clip(np.diag(_directions(affine)), -1, 1)))
        return {"axes": "".join(nib.aff2axcodes(affine)), "tilt_degrees": tilt.round(2).tolist()}


@dataclass(frozen=True, kw_only=True)
class Resample:
    """Cubic voxels over the same box.

    Parameters
    ----------
    spacing : float, default: 1.0
        Edge in millimetres, 0.2 to 10.
    """

    name: ClassVar[str] = "resample"
    spacing: float = 1.0

    def __post_init__(self) -> None:
        _check("resample.spacing", 0.2 <= self.spacing <= 10, "0.2 to 10 mm", self.spacing)

    def apply(self, study: Study) -> Found:
        """Change the grid wanted."""
        study.shape, study.affine = regular_grid(study.shape, study.affine, self.spacing)
        return {"shape": list(study.shape)}


@dataclass(frozen=True, kw_only=True)
class Coregister:
    """Move the other sequences onto the first, rigidly: a person moves between them.

    Sequences that lie on the reference's very grid are taken as registered and left alone.
    """

    name: ClassVar[str] = "coregister"

    def apply(self, study: Study) -> Found:
        """Find the movement of each sequence."""
        found: Found = {}
        fixed = study.images[study.reference]
        for name, layer in list(study.images.items())[1:]:
            if layer.volume.shape == fixed.volume.shape and np.allclose(layer.affine, fixed.affine, atol=1e-3):
                found[name] = "on the reference's grid"
                continue
            movement = register(layer.volume, layer.affine, fixed.volume, fixed.affine, transform="rigid")
            study.images[name] = Layer(layer.volume, layer.affine, movement)
            found[name] = movement.tolist()
        return found


@dataclass(frozen=True, kw_only=True)
class BiasField:
    """Even out the coil's shading by N4 (Tustison et al., 2010), each sequence by itself; CT is left alone.

    Parameters
    ----------
    iterations : int, default: 50
        At most, per level.
    levels : int, default: 4
        The field's control points double with each.
    work_mm : float, default: 4.0
        The field is sought on voxels about this large.
    """

    name: ClassVar[str] = "bias_field"
    iterations: int = 50
    levels: int = 4
    work_mm: float = 4.0

    def __post_init__(self) -> None:
        _check("bias_field.iterations", self.iterations >= 1, "a whole number of at least 1", self.iterations)
        _check("bias_field.levels", 1 <= self.levels <= 8, "1 to 8", self.levels)
        _check("bias_field.work_mm", 0.5 <= self.work_mm <= 20, "0.5 to 20 mm", self.work_mm)

    def apply(self, study: Study) -> Found:
        """Divide each sequence by its field."""
        found: Found = {}
        brain = None if study.brain is None else study.brain_view()
        settings = asdict(self)
        for name in study.images:
            if name == "ct":
                continue
            field = bias_field(study.view(name), study.affine, brain, **settings)
            study.correct(name, np.float32(1) / field)
            found[name] = {"field_range": [round(float(field.min()), 4), round(float(field.max()), 4)]}
        return found


@dataclass(frozen=True, kw_only=True)
class BrainExtraction:
    """Find the brain, unless the cohort names a mask.

    Parameters
    ----------
    extractor : str, default: "auto"
        Which method, see `uad_data.brain_extraction.extract_brain`.
    on : str, default: ""
        The sequence to find it on; empty takes T1 where there is one, else the first.
    """

    name: ClassVar[str] = "brain_extraction"
    extractor: str = "auto"
    on: str = ""

    def __post_init__(self) -> None:
        known = ("auto", *EXTRACTORS)
        _check("brain_extraction.extractor", self.extractor in known, f"one of {', '.join(known)}", self.extractor)

    def apply(self, study: Study) -> Found:
        """Keep the mask."""
        if study.brain is not None:
            return {"given": True}
        on = self.on or ("t1" if "t1" in study.images else study.reference)
        if on not in study.images:
            raise InputError(
                f"brain_extraction.on: expected a sequence of this scan ({', '.join(study.images)}), found {on!r}"
            )
        mask = extract_brain(study.view(on), study.affine, modality=on, extractor=self.extractor)
        study.brain = study.keep(mask)
        return {"on": on, "brain_ml": round(float(mask.sum() * abs(np.linalg.det(study.affine[:3, :3])) / 1000), 1)}


@dataclass(frozen=True, kw_only=True)
class Register:
    """Move the brain onto a template's, and take the template's grid.

    Parameters
    ----------
    template : str, default: "mni152"
        A name of `uad_data.preparation.templates.load_template`, or a NIfTI file of a skull-stripped head.
    transform : {"rigid", "affine"}, default: "rigid"
        Rigid keeps sizes and shapes; affine also scales and shears.
    spacing : float, default: 1.0
        Edge of a voxel in millimetres.
    shape : tuple of int, optional
        ``(d, h, w)`` voxels around the middle of the template's brain; by default the template's own box.
    seed : int, default: 0
        Of the samples that the fit is judged on.
    """

    name: ClassVar[str] = "register"
    template: str = "mni152"
    transform: Literal["rigid", "affine"] = "rigid"
    spacing: float = 1.0
    shape: tuple[int, int, int] | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        _check("register.transform", self.transform in ("rigid", "affine"), "rigid or affine", self.transform)
        _check("register.spacing", 0.2 <= self.spacing <= 10, "0.2 to 10 mm", self.spacing)
        object.__setattr__(self, "shape", _three("register.shape", self.shape))

    def apply(self, study: Study) -> Found:
        """Find the movement and change the grid wanted."""
        template = load_template(self.template, spacing=self.spacing)
        brain = study.brain_view()
        on = "t1" if "t1" in study.images else study.reference
        movement = register(
            np.where(brain, study.view(on), np.float32(0)),
            study.affine,
            np.where(template.brain, template.image, np.float32(0)),
            template.affine,
            transform=self.transform,
            moving_mask=brain,
            fixed_mask=template.brain,
            seed=self.seed,
        )
        study.to_reference = study.to_reference @ movement
        study.template = template.name
        study.template_brain = Layer(template.brain.astype(np.uint8), template.affine)
        study.shape, study.affine = template.image.shape, template.affine
        if self.shape:
            middle = _brain_centre(template.brain, template.affine)
            study.shape, study.affine = centred_grid(self.shape, directions=study.affine[:3, :3], centre=middle)
        return {"template_to_scan": movement.tolist(), "shape": list(study.shape), "on": on}


@dataclass(frozen=True, kw_only=True)
class Crop:
    """Cut or pad to a number of voxels around the middle.

    Parameters
    ----------
    shape : tuple of int
        ``(d, h, w)``.
    around : {"grid", "brain"}, default: "grid"
        The middle of the present box, or of the brain's.
    """

    name: ClassVar[str] = "crop"
    shape: tuple[int, int, int]
    around: str = "grid"

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", _three("crop.shape", self.shape))
        _check("crop.around", self.around in ("grid", "brain"), "grid or brain", self.around)

    def apply(self, study: Study) -> Found:
        """Change the grid wanted by whole voxels, so that nothing is interpolated for it."""
        old = np.array(study.shape)
        middle = (old - 1) / 2 if self.around == "grid" else _box_middle(study.brain_view())
        first = np.round(middle - (np.array(self.shape) - 1) / 2).astype(int)
        affine = study.affine.copy()
        affine[:3, 3] += affine[:3, :3] @ first[::-1]
        study.shape, study.affine = self.shape, affine
        return {"first_voxel": first.tolist()}


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Bring intensities to a common scale, by the brain's voxels; everything outside the brain becomes 0.

    Parameters
    ----------
    rule : str, default: "percentile:99"
        See `uad_data.scaling.scale`.
    """

    name: ClassVar[str] = "scale"
    rule: str = "percentile:99"

    def __post_init__(self) -> None:
        check_scaling_rule(self.rule)

    def apply(self, study: Study) -> Found:
        """Remember the rule: it is applied when the voxels are interpolated."""
        study.scaling = self.rule
        return {}


STEPS: dict[str, Callable[..., Step]] = {
    step.name: step for step in (Reorient, Resample, Coregister, BiasField, BrainExtraction, Register, Crop, Scale)
}


def _check(what: str, good: bool, expected: str, found: object) -> None:
    """Refuse a setting."""
    if not good:
        raise InputError(f"{what}: expected {expected}, found {found!r}")


def _three(what: str, shape: Any) -> tuple[int, int, int] | None:
    """Turn a list into (d, h, w)."""
    if shape is None:
        return None
    good = len(tuple(shape)) == 3 and all(isinstance(length, int) and length > 0 for length in shape)
    _check(what, good, "three whole numbers above 0, (d, h, w)", shape)
    return tuple(shape)


def _directions(affine: np.ndarray) -> np.ndarray:
    """Give the unit vectors of the axes."""
    return affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)


def _box_middle(mask: np.ndarray) -> np.ndarray:
    """Give the middle of a mask's bounding box, (d, h, w) voxels."""
    return np.array([(inside.min() + inside.max()) / 2 for inside in np.nonzero(mask)])


def _brain_centre(mask: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Give it in millimetres, on a whole voxel's corner or centre as the grid has it."""
    middle = np.floor(_box_middle(mask))
    return affine[:3, :3] @ middle[::-1] + affine[:3, 3]
