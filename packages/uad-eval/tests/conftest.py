from collections.abc import Callable

import numpy as np
import pytest

from uad_eval import (
    Evaluation,
    RunKey,
    Scope,
    evaluate,
    evaluate_false_positives,
    evaluate_reconstruction,
    evaluate_samples,
    lesion_validation_threshold,
    single_figures,
)

THRESHOLDS = {"healthy_validation": 2.0, "healthy_volume": 2.5, "synthetic_validation": 1.5}


class Cohort:
    """Six subjects of four slices; subject 5 has no lesion."""

    def __init__(self) -> None:
        rng = np.random.default_rng(5)
        self.shape = (24, 12, 10)
        self.brain = np.zeros(self.shape, bool)
        self.brain[:, 1:-1, 1:-1] = True
        self.subjects = np.repeat([f"sub-{i}" for i in range(6)], 4)
        self.pathologies = np.repeat(["tumour", "tumour", "stroke", "stroke", "tumour", "none"], 4)
        self.truth = np.zeros(self.shape, np.uint8)
        self.truth[::2, 3:6, 3:7] = 1
        self.truth[20:] = 0
        self.image = rng.random(self.shape, dtype=np.float32) * self.brain
        self.ease = np.repeat(rng.normal(0, 0.5, 6), 4)[:, None, None]

    def maps(self, *, strength: float, seed: int) -> np.ndarray:
        noise = np.random.default_rng(seed).normal(size=self.shape)
        return ((noise + (strength + self.ease) * self.truth) * self.brain).astype(np.float32)


@pytest.fixture(scope="session")
def cohort() -> Cohort:
    return Cohort()


@pytest.fixture(scope="session")
def run(cohort: Cohort) -> Callable[..., Evaluation]:
    def run(method: str, *, strength: float, seed: int = 0, draws: int = 200) -> Evaluation:
        maps = cohort.maps(strength=strength, seed=seed + 10)
        key = RunKey(cohort="toy", method=method, seed=seed, scope=Scope(slices="every second"))
        threshold = lesion_validation_threshold(maps[cohort.brain], cohort.truth[cohort.brain])
        healthy = ~cohort.truth.any((1, 2))
        scores = np.sqrt(np.square(maps).sum((1, 2)))
        shared = {"key": key, "draws": draws}
        parts = [
            evaluate(
                maps,
                cohort.truth,
                cohort.brain,
                cohort.subjects,
                pathologies=cohort.pathologies,
                thresholds=THRESHOLDS | {"lesion_validation": threshold},
                false_positive_rate=0.02,
                **shared,
            ),
            evaluate_samples(scores, ~healthy, cohort.subjects, pathologies=cohort.pathologies, **shared),
            evaluate_reconstruction(
                cohort.image[healthy],
                cohort.image[healthy] * 0.9,
                cohort.brain[healthy],
                cohort.subjects[healthy],
                **shared,
            ),
            evaluate_false_positives(
                {name: maps[healthy] > value for name, value in THRESHOLDS.items()},
                np.full(healthy.sum(), 0.002),
                cohort.subjects[healthy],
                cohort.subjects[healthy],
                false_positive_ml=0.01,
                **shared,
            ),
            single_figures(key, {"seconds": (12.0 + seed, "s")}),
        ]
        return Evaluation.concat(parts)

    return run


@pytest.fixture(scope="session")
def evaluation(run: Callable[..., Evaluation]) -> Evaluation:
    return Evaluation.concat(
        [
            run("strong", strength=6.0, seed=0),
            run("strong", strength=5.0, seed=1),
            run("weak:size=2", strength=1.0),
            run("<baseline>", strength=0.8),
        ]
    )
