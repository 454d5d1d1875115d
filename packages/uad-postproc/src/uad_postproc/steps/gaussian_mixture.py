"""Which component of a mixture a voxel belongs to, given its value and its neighbours."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from uad_postproc.context import Context
from uad_postproc.errors import InputError
from uad_postproc.mixture import STRONGEST, fit_field, fit_plain, histogram, initial_mixture, softmax
from uad_postproc.steps.step import Step, check_number


@dataclass(frozen=True, kw_only=True)
class GaussianMixture(Step):
    """Probability that a voxel belongs to the lesion's component of a mixture of Gaussians.

    The mixture is fitted to each item by itself, to the voxels of its brain, with the Markov random field prior of
    `uad_postproc.mixture`; it needs no validation data. Put ``FixedThreshold(0.5)`` after it.

    The context-VAE paper expects three components in a residual: healthy tissue, tumour and background, of which the
    tumour is the smallest. Neighbours can shrink the one between to less than the lesion, which is why the brightest
    is the default; where the fit goes well both are the same one.

    There is nearly always such a component: a healthy item has one too, and in 2D every slice is an item. A component
    that is the most probable nowhere is not counted, and if all voxels belong to one, there is no lesion.

    Parameters
    ----------
    components : int
        Number of Gaussians, 2 to 5.
    neighbour_weight : float
        Weight beta of the neighbours, 0 to 50: from none to all neighbours in a component, its log probability rises
        by so much. 0 is a plain mixture, whose components have weights instead.
    lesion : "brightest" or "smallest"
        Which component is the lesion's: the one with the highest mean, or the one that is the most probable at the
        fewest voxels.
    tolerance : float
        When to stop: change of the mean log likelihood per voxel (weight 0), or of any mean in standard deviations.
    max_iterations : int
        At most so many EM iterations. With neighbours more are not always better: on noisy maps a component can die out
        and come back as a narrow, brighter one.
    """

    components: int = 3
    neighbour_weight: float = 8.0
    lesion: Literal["brightest", "smallest"] = "brightest"
    tolerance: float = 1e-3
    max_iterations: int = 16
    takes: ClassVar[frozenset[str]] = frozenset({"map"})

    def __post_init__(self) -> None:
        if self.components not in (2, 3, 4, 5):
            raise InputError(f"GaussianMixture: components: expected 2, 3, 4 or 5, found {self.components!r}")
        if self.lesion not in ("smallest", "brightest"):
            raise InputError(f"GaussianMixture: lesion: expected 'brightest' or 'smallest', found {self.lesion!r}")
        check_number("GaussianMixture", "neighbour_weight", self.neighbour_weight, least=0)
        if self.neighbour_weight > STRONGEST:
            expected = f"expected {STRONGEST:g} or less: there a voxel follows its neighbours whatever its value"
            raise InputError(f"GaussianMixture: neighbour_weight: {expected}; found {self.neighbour_weight!r}")
        check_number("GaussianMixture", "tolerance", self.tolerance, least=0)
        check_number("GaussianMixture", "max_iterations", self.max_iterations, least=1)

    def apply(self, x: np.ndarray, context: Context) -> np.ndarray:
        """See `Step.apply`."""
        spacing = tuple(context.spacing) if context.spacing is not None else (1.0,) * context.spatial_ndim
        out = np.zeros(x.shape, dtype=np.float32)
        for item, brain, probability in zip(x, context.brain, out, strict=True):
            if brain.any():
                probability[brain] = self._probability(item[brain], brain, spacing)
        return out

    def _probability(self, values: np.ndarray, brain: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
        """Probability of the lesion's component at the voxels of one brain; 0 without enough different values."""
        data = histogram(values)
        start = initial_mixture(data, self.components)
        if start is None:
            return np.zeros(values.shape, dtype=np.float32)
        if self.neighbour_weight == 0:
            mixture = fit_plain(data, start, tolerance=self.tolerance, max_iterations=self.max_iterations)
            by_bin = softmax(mixture.log_joint(data.values))
            sizes = np.bincount(by_bin.argmax(axis=0), weights=data.counts, minlength=self.components)
            return self._lesion(sizes, mixture.means, by_bin)[data.index]
        edges = [np.flatnonzero(brain.any(axis=tuple({*range(brain.ndim)} - {axis}))) for axis in range(brain.ndim)]
        box = tuple(slice(edge[0], edge[-1] + 1) for edge in edges)
        mixture, by_voxel = fit_field(
            data,
            brain[box],
            start,
            beta=self.neighbour_weight,
            spacing=spacing,
            tolerance=self.tolerance,
            max_iterations=self.max_iterations,
        )
        most = by_voxel.max(axis=0)
        sizes = np.array([np.count_nonzero(row == most) for row in by_voxel])
        return self._lesion(sizes, mixture.means, by_voxel)

    def _lesion(self, sizes: np.ndarray, means: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
        """Row (m,) of the probabilities (K, m) that is the lesion's, given how many voxels each component wins."""
        if np.count_nonzero(sizes) < 2:
            return np.zeros_like(probabilities[0])
        first = sizes if self.lesion == "smallest" else -means
        return probabilities[np.where(sizes > 0, first, np.inf).argmin()]
