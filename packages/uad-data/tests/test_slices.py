import numpy as np
import pytest

from uad_data.errors import InputError
from uad_data.slices import check_slice_rule, select_slices


def brain_of_areas(areas: list[int]) -> np.ndarray:
    brain = np.zeros((len(areas), 10, 10), bool)
    for slice_index, area in enumerate(areas):
        brain[slice_index].ravel()[:area] = True
    return brain


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("fraction:0.25", [2, 3, 4, 5]),
        ("fraction:0.5", [2, 3, 4]),
        ("fraction:1", [4]),
        ("pixels:1", [1, 2, 3, 4, 5, 6]),
        ("pixels:10", [2, 3, 4, 5]),
        ("pixels:101", []),
    ],
)
def test_area_rules_keep_slices_with_enough_brain(rule: str, expected: list[int]) -> None:
    brain = brain_of_areas([0, 4, 20, 30, 40, 10, 2, 0])
    np.testing.assert_array_equal(select_slices(brain, rule), expected)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [("centre:1", [4]), ("centre:3", [3, 4, 5]), ("centre:4", [3, 4, 5, 6]), ("centre:99", [2, 3, 4, 5, 6])],
)
def test_centre_takes_slices_around_the_brain_and_not_the_volume(rule: str, expected: list[int]) -> None:
    brain = brain_of_areas([0, 0, 9, 9, 9, 9, 9, 0, 0, 0, 0, 0])
    np.testing.assert_array_equal(select_slices(brain, rule), expected)


def test_even_count_is_symmetric_around_a_centre_between_two_slices() -> None:
    np.testing.assert_array_equal(select_slices(brain_of_areas([5, 5, 5, 5]), "centre:2"), [1, 2])


@pytest.mark.parametrize("rule", ["fraction:0.25", "centre:3", "pixels:1"])
def test_no_brain_selects_nothing(rule: str) -> None:
    assert select_slices(np.zeros((4, 5, 6), bool), rule).shape == (0,)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("fractoin:0.25", "did you mean 'fraction:F'"),
        ("center:5", "did you mean 'centre:N'"),
        ("xyzzy", "Known rules: fraction:F, centre:N, pixels:N"),
        ("fraction:0", "above 0 and at most 1"),
        ("fraction:1.5", "above 0 and at most 1"),
        ("fraction", "fraction:F"),
        ("centre:2.5", "whole number"),
        ("centre:0", "whole number of at least 1"),
        ("pixels:many", "found 'many'"),
    ],
)
def test_bad_rules_say_what_is_expected(rule: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_slice_rule(rule)
    with pytest.raises(InputError, match=message):
        select_slices(np.ones((2, 2, 2), bool), rule)
