import numpy as np
import pytest

from uad_data.phantom.anatomy import build_anatomy, displace, grid_affine, grid_shape, smooth_field

SPACING = 6.0


@pytest.fixture(scope="module")
def people():
    return [build_anatomy(np.random.default_rng(seed), spacing=SPACING) for seed in range(4)]


def test_fractions_are_fractions_and_sum_to_one(people):
    for person in people:
        for part in (person.grey, person.white, person.fluid):
            assert part.min() > -1e-5
            assert part.max() < 1 + 1e-5
        np.testing.assert_allclose(person.grey + person.white + person.fluid, 1, atol=1e-5)
        assert (person.fluid[~person.brain] > 0.3).mean() > 0.9


def test_brain_volume_and_fluid_are_those_of_people(people):
    volumes = [person.brain.sum() * SPACING**3 / 1000 for person in people]
    assert min(volumes) > 1150
    assert max(volumes) < 2000
    assert np.ptp(volumes) > 20
    for person in people:
        assert 0.08 < person.fluid[person.brain].mean() < 0.40


def test_ventricles_are_fluid_and_differ_in_size(people):
    sizes = []
    for person in people:
        inside = (person.wall < -2) & person.brain
        assert inside.any()
        assert person.fluid[inside].mean() > 0.7
        sizes.append(((person.fluid > 0.5) & (person.depth > 20)).sum())
    assert max(sizes) > 1.15 * min(sizes)


def test_two_people_have_different_folds(people):
    first, second = people[:2]
    cortex = first.brain & second.brain & (first.depth > 3) & (first.depth < 14)
    assert np.corrcoef(first.white[cortex], second.white[cortex])[0, 1] < 0.8


def test_displace_pushes_outwards_and_only_in_its_zone(people):
    person = people[0]
    centre = np.array(person.shape) // 2 + np.array([4, 0, 4])
    pushed, zone = displace(person, centre.astype(float), 12.0, 6.0, 14.0)
    assert zone.any()
    for name in ("grey", "white", "fluid", "wall", "mni_x"):
        np.testing.assert_array_equal(getattr(pushed, name)[~zone], getattr(person, name)[~zone])
    # What lies right of the centre came from further left, so its own coordinate is smaller.
    right = (centre[0] + 2, centre[1], centre[2])
    assert pushed.mni_x[right] < person.mni_x[right] - 2
    np.testing.assert_array_equal(pushed.brain, person.brain)


def test_smooth_field_has_unit_spread_and_its_scale():
    field = smooth_field(np.random.default_rng(0), grid_shape(3.0), 3.0, 9.0)
    assert field.shape == grid_shape(3.0)
    assert abs(field.mean()) < 0.15
    assert 0.85 < field.std() < 1.15
    # Two Gaussian bumps of 9 mm correlate by exp(-d²/4s²) at a distance d.
    near = np.corrcoef(field[:-3].ravel(), field[3:].ravel())[0, 1]
    assert near == pytest.approx(np.exp(-0.25), abs=0.06)


def test_grid_is_centred_and_right_handed():
    affine, shape = grid_affine(4.0), grid_shape(4.0)
    middle = affine @ [*[(n - 1) / 2 for n in shape], 1]
    np.testing.assert_allclose(middle[:3], (0, -16, 6))
    np.testing.assert_array_equal(np.diag(affine)[:3], [4, 4, 4])
