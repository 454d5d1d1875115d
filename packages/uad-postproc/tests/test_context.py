import numpy as np
import pytest

from uad_postproc import Context, InputError

BRAIN_2D = np.ones((3, 4, 5), bool)
BRAIN_3D = np.ones((2, 4, 5, 6), bool)


def test_voxel_volume_of_anisotropic_voxels():
    assert Context(BRAIN_3D, (5.0, 0.5, 0.8)).voxel_ml == pytest.approx(0.002)


def test_voxel_volume_of_slices_needs_their_thickness():
    assert Context(BRAIN_2D, (0.5, 0.8), slice_thickness=5).voxel_ml == pytest.approx(0.002)
    with pytest.raises(InputError, match="slice_thickness"):
        _ = Context(BRAIN_2D, (0.5, 0.8)).voxel_ml


def test_unknown_spacing_is_reported_when_it_is_needed():
    with pytest.raises(InputError, match="spacing in mm"):
        _ = Context(BRAIN_2D).voxel_mm


def test_rows_cuts_every_array():
    brain = np.zeros((3, 4, 5), bool)
    brain[1] = True
    image = np.arange(3)[:, None, None, None] * np.ones((3, 2, 4, 5))
    part = Context(brain, (1, 2), image=image, reconstruction=-image, prior=image[:, 0]).rows(slice(1, 2))
    assert part.brain.shape == (1, 4, 5)
    assert part.brain.all()
    assert part.spacing == (1, 2)
    assert (part.image == 1).all()
    assert (part.prior == np.ones((1, 4, 5))).all()
    assert (part.reconstruction == -1).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"brain": BRAIN_2D.astype(np.uint8)}, "brain: expected a bool array.*uint8"),
        ({"brain": np.ones((4, 5), bool)}, r"brain.*\(4, 5\)"),
        ({"brain": [[True]]}, "brain.*list"),
        ({"spacing": (1, 1, 1)}, "spacing: expected 2"),
        ({"spacing": (1, 0)}, "spacing: expected 2 positive"),
        ({"spacing": (1, np.nan)}, "spacing"),
        ({"image": np.ones((3, 4, 5))}, "both or neither"),
        ({"image": np.ones((3, 4, 6)), "reconstruction": np.ones((3, 4, 6))}, r"image.*\(3, 4, 6\)"),
        ({"image": np.ones((3, 4, 5)), "reconstruction": np.ones((3, 1, 4, 5))}, "equal shapes"),
        ({"slice_thickness": -1.0}, "slice_thickness"),
        ({"brain": BRAIN_3D, "slice_thickness": 1.0}, "slice_thickness.*3D"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        Context(**{"brain": BRAIN_2D, **arguments})
