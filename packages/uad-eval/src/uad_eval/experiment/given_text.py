"""Values that a notebook's parameters give as text, and of which kind a value is, checked before anything runs."""

from dataclasses import fields
from typing import Any

from uad_eval.errors import InputError


def whole_numbers(name: str, text: str, *, counts: tuple[int, ...] = ()) -> tuple[int, ...]:
    """Read whole numbers between blanks, such as a size.

    Parameters
    ----------
    name : str
        Of the parameter, for a message.
    text : str
        Such as ``"96 96"``.
    counts : tuple of int
        How many there may be; any if not given.

    Returns
    -------
    tuple of int
        At least one, none below 0.

    Raises
    ------
    InputError
        A word is no whole number, or there are too few or too many.
    """
    words = str(text).split()
    wanted = f"{' or '.join(map(str, counts)) + ' ' if counts else ''}whole numbers of 0 or more, such as '96 96'"
    if not words or not all(word.isdecimal() for word in words) or (counts and len(words) not in counts):
        raise InputError(f"{name}: expected {wanted}, found {text!r}")
    return tuple(map(int, words))


def check_kinds(settings: Any) -> None:
    """Refuse a field that should be a number or a text and is of another kind.

    Parameters
    ----------
    settings : dataclass instance
        Its annotations ``int``, ``float`` (a whole number will do) and ``str`` are looked at.

    Raises
    ------
    InputError
        Naming the field, what was expected and what was found.
    """
    for field in fields(settings):
        value, kind = getattr(settings, field.name), field.type
        if kind not in (int, float, str):
            continue
        right = isinstance(value, int | float) if kind is float else isinstance(value, kind)
        if not right or isinstance(value, bool):
            raise InputError(f"{field.name}: expected {kind.__name__}, found {value!r}")
