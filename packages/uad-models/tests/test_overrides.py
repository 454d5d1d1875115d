from dataclasses import dataclass
from typing import Literal

import pytest

from uad_data.errors import InputError
from uad_models.overrides import parse_overrides, parse_value


@dataclass(frozen=True)
class One:
    width: int = 1
    both: int = 0
    size: int = 3


@dataclass(frozen=True)
class Two:
    rate: float = 1.0
    both: int = 0


GROUPS = {"first": One, "second": Two}


def test_keys_find_their_group_and_type():
    found = parse_overrides(["width=3", "rate=1e-3"], GROUPS, flags={})
    assert found == {"first": {"width": 3}, "second": {"rate": 0.001}}


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("width", "--set width: expected key=value"),
        ("widht=3", "unknown key 'widht': did you mean width"),
        ("both=3", "both is ambiguous, it is a setting of first and of second"),
        ("size=3", "give size with --size"),
        ("width=3.5", "width: expected a whole number, got '3.5'"),
        ("rate=fast", "rate: expected a number, got 'fast'"),
    ],
)
def test_what_cannot_be_used_is_refused(pair, message):
    with pytest.raises(InputError, match=message):
        parse_overrides([pair], GROUPS, flags={"size": "--size"})


@pytest.mark.parametrize(
    ("text", "hint", "value"),
    [
        ("true", bool, True),
        ("No", bool, False),
        ("16,32", tuple[int, ...], (16, 32)),
        ("16+32", tuple[int, ...], (16, 32)),
        ("16", tuple[int, ...], (16,)),
        ("l1", Literal["l1", "l2"], "l1"),
        ("none", int | None, None),
        ("4", int | None, 4),
        ("fraction:0.5", str, "fraction:0.5"),
    ],
)
def test_texts_become_values(text, hint, value):
    assert parse_value(text, hint, name="x") == value


@pytest.mark.parametrize(
    ("text", "hint", "message"),
    [
        ("maybe", bool, "true or false"),
        ("l3", Literal["l1", "l2"], "one of l1, l2"),
        ("16,a", tuple[int, ...], "a whole number, or several separated by commas or plus signs"),
        ("some", int | None, "a whole number or none"),
    ],
)
def test_a_wrong_text_is_told_what_was_expected(text, hint, message):
    with pytest.raises(InputError, match=f"x: expected {message}, got '{text}'"):
        parse_value(text, hint, name="x")
