"""One person's scans on their way: nothing is interpolated before the end.

Every sequence stays on the grid it was read on. Steps that move things (resample, register, crop) only change the
*grid wanted* and the movement to it; steps that change intensities correct the sequences where they lie. Whoever
wants to look asks for a view. At the end each sequence is interpolated once, straight from the raw file.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from uad_data.errors import InputError
from uad_data.preparation.resampling import Affine, Shape, resample, resample_labels
from uad_data.preparation.way_back import WayBack


@dataclass(frozen=True, eq=False)
class Layer:
    """A volume, where it lies, and how to get there from the reference sequence.

    Parameters
    ----------
    volume : ndarray, shape (d, h, w)
        float32 intensities, or uint8 labels.
    affine : ndarray, shape (4, 4)
        Its grid.
    from_reference : ndarray, shape (4, 4)
        Millimetres of the reference sequence to millimetres of this one; the identity where both share a space.
    """

    volume: NDArray
    affine: Affine
    from_reference: Affine = field(default_factory=lambda: np.eye(4))


@dataclass
class Study:
    """What the steps of a recipe work on.

    Parameters
    ----------
    images : dict of str to Layer
        Sequences by name; the first is the reference, whose grid is the one results go back to.
    shape, affine
        The grid wanted: that of the reference at first.
    to_reference : ndarray, shape (4, 4)
        Millimetres of the grid wanted to those of the reference.
    brain, lesion : Layer, optional
        Masks; the brain is there once it was given or found.
    template : str, optional
        The template registered to.
    template_brain : Layer, optional
        Its brain, in the space of the grid wanted.
    scaling : str, optional
        The rule that intensities are brought to [0, 1] by at the end.
    """

    images: dict[str, Layer]
    shape: Shape
    affine: Affine
    to_reference: Affine = field(default_factory=lambda: np.eye(4))
    brain: Layer | None = None
    lesion: Layer | None = None
    template: str | None = None
    template_brain: Layer | None = None
    scaling: str | None = None

    @classmethod
    def begin(
        cls,
        images: Mapping[str, tuple[NDArray[np.float32], Affine]],
        *,
        brain: tuple[NDArray, Affine] | None = None,
        lesion: tuple[NDArray, Affine] | None = None,
    ) -> "Study":
        """Start from what was read: (voxels, affine) of each sequence and mask."""
        layers = {name: Layer(volume, affine) for name, (volume, affine) in images.items()}
        first = next(iter(layers.values()))
        return cls(
            images=layers,
            shape=first.volume.shape,
            affine=first.affine,
            brain=Layer(*brain) if brain else None,
            lesion=Layer(*lesion) if lesion else None,
        )

    @property
    def reference(self) -> str:
        """Name of the first sequence."""
        return next(iter(self.images))

    def view(self, name: str) -> NDArray[np.float32]:
        """Look at a sequence on the grid wanted."""
        layer = self.images[name]
        outside = -1000.0 if name == "ct" else 0.0
        return resample(
            layer.volume,
            layer.affine,
            shape=self.shape,
            to=self.affine,
            world=layer.from_reference @ self.to_reference,
            outside=outside,
        )

    def mask(self, layer: Layer) -> NDArray[np.uint8]:
        """Look at a mask of the reference's space on the grid wanted."""
        world = layer.from_reference @ self.to_reference
        return resample_labels(layer.volume, layer.affine, shape=self.shape, to=self.affine, world=world)

    def brain_view(self) -> NDArray[np.bool_]:
        """Look at the brain on the grid wanted; InputError where it was not found or lies outside."""
        if self.brain is None:
            raise InputError(
                "no brain mask: expected one before this step; put brain_extraction before it in the recipe, or name "
                "a mask in the column brain"
            )
        brain = self.mask(self.brain) > 0
        if not brain.any():
            raise InputError("the brain mask is empty on the prepared grid: check the mask and the registration")
        return brain

    def keep(self, mask: NDArray) -> Layer:
        """Make a layer of a mask on the grid wanted."""
        return Layer(np.asarray(mask, np.uint8), self.affine, np.linalg.inv(self.to_reference))

    def correct(self, name: str, factor: NDArray[np.float32]) -> None:
        """Multiply a sequence by a smooth field that was found on the grid wanted."""
        layer = self.images[name]
        there = resample(
            factor,
            self.affine,
            shape=layer.volume.shape,
            to=layer.affine,
            world=np.linalg.inv(layer.from_reference @ self.to_reference),
            outside=float("nan"),
        )
        self.images[name] = replace(layer, volume=layer.volume * there)

    def way_back(self) -> WayBack:
        """Say how the grid wanted and the reference's own lie to one another."""
        first = self.images[self.reference]
        return WayBack(
            native_shape=first.volume.shape,
            native_affine=first.affine,
            prepared_shape=self.shape,
            prepared_affine=self.affine,
            prepared_to_native=self.to_reference,
        )
