import itertools

import numpy as np
import pytest

from uad_eval import InputError
from uad_eval.surface import surface_distances


def slow(mask, truth, spacing):
    """Distances by brute force over all pairs of surface voxels."""

    def surface(part):
        padded, found = np.pad(part, 1), []
        for at in np.argwhere(part):
            steps = [s * np.eye(part.ndim, dtype=int)[axis] for axis, s in itertools.product(range(part.ndim), (-1, 1))]
            if not all(padded[tuple(at + 1 + step)] for step in steps):
                found.append(at * spacing)
        return np.array(found)

    ours, theirs = surface(mask), surface(truth)
    between = np.sqrt(np.square(ours[:, None] - theirs[None]).sum(axis=2))
    one, other = between.min(axis=1), between.min(axis=0)
    both = np.concatenate([one, other])
    return np.percentile(both, 95), both.mean()


@pytest.mark.parametrize("shape", [(9, 8), (7, 6, 5)])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_agrees_with_a_search_over_all_pairs(shape, share):
    rng = np.random.default_rng(int(100 * share))
    spacing = np.array([0.7, 1.0, 3.0][: len(shape)])
    for _ in range(10):
        mask, truth = rng.random(shape) < share, rng.random(shape) < share
        mask.flat[3] = truth.flat[-4] = True
        assert surface_distances(mask, truth, spacing=spacing) == pytest.approx(slow(mask, truth, spacing), abs=1e-12)


def test_case_worked_by_hand():
    mask, truth = np.zeros((2, 10)), np.zeros((2, 10))
    mask[0, 2], truth[0, [2, 6]] = 1, 1
    # Distances of the mask to the truth: 0; of the truth to the mask: 0 and 8 mm.
    found = surface_distances(mask, truth, spacing=(1, 2))
    assert found.mean == pytest.approx((0 + 0 + 8) / 3)
    assert found.hausdorff_95 == pytest.approx(np.percentile([0, 0, 8], 95))
    assert surface_distances(mask, mask) == (0, 0)


@pytest.mark.parametrize(
    ("rule", "both", "one"), [("lesion", np.nan, np.nan), ("nnunet", np.nan, np.nan), ("brats", 0, 374)]
)
def test_empty_cases_follow_the_rule(rule, both, one):
    none, some = np.zeros((4, 4)), np.eye(4)
    assert surface_distances(none, none, empty=rule) == pytest.approx((both, both), nan_ok=True)
    assert surface_distances(none, some, empty=rule) == pytest.approx((one, one), nan_ok=True)
    assert surface_distances(some, none, empty=rule) == pytest.approx((one, one), nan_ok=True)


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="one shape"):
        surface_distances(np.ones((2, 2)), np.ones((2, 3)))
    with pytest.raises(InputError, match="spacing: expected 2 sizes"):
        surface_distances(np.ones((2, 2)), np.ones((2, 2)), spacing=(1, 0))
    with pytest.raises(InputError, match="expected one of lesion, nnunet, brats"):
        surface_distances(np.ones((2, 2)), np.ones((2, 2)), empty="none")
