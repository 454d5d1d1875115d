import numpy as np

from uad_eval import Scope


def test_scope_selects_and_says_what_it_selects():
    brain = np.array([[0, 1], [1, 0]])
    assert Scope().select(brain).tolist() == [[False, True], [True, False]]
    assert Scope(brain_only=False).select(brain).all()
    assert str(Scope(slices="fraction:0.25")) == "brain voxels, slices fraction:0.25"
    assert str(Scope(brain_only=False)) == "all voxels, slices all"
