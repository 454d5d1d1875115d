"""Settings given as text: ``key=value`` on a command line, typed by the dataclass that has the key."""

import dataclasses
import types
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args, get_origin, get_type_hints

from uad_data.errors import InputError
from uad_models.method import unknown_name

_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def parse_overrides(
    pairs: Sequence[str], groups: Mapping[str, type], *, flags: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    """Sort ``key=value`` texts into groups of settings and give the values their types.

    Parameters
    ----------
    pairs
        The texts.
    groups
        Group name to the dataclass whose fields are its keys.
    flags
        Fields that are not set this way, with the option that sets them.

    Returns
    -------
    dict
        Per group, key to value.

    Raises
    ------
    InputError
        A text without ``=``, an unknown key (the message gives the nearest ones), a key of two groups, or a value of
        the wrong type.
    """
    hints = {group: get_type_hints(cls) for group, cls in groups.items()}
    owners: dict[str, list[str]] = {}
    for group, cls in groups.items():
        for field in dataclasses.fields(cls):
            owners.setdefault(field.name, []).append(group)
    found: dict[str, dict[str, Any]] = {group: {} for group in groups}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals:
            raise InputError(f"--set {pair}: expected key=value")
        if key in flags:
            raise InputError(f"--set {pair}: give {key} with {flags[key]}")
        if key not in owners:
            raise InputError(f"--set {pair}: {unknown_name('key', key, [k for k in owners if k not in flags])}")
        if len(owners[key]) > 1:
            raise InputError(f"--set {pair}: {key} is ambiguous, it is a setting of {' and of '.join(owners[key])}")
        group = owners[key][0]
        found[group][key] = parse_value(text, hints[group][key], name=key)
    return found


def parse_value(text: str, hint: Any, *, name: str) -> Any:
    """Turn a text into a value of an annotated type.

    Parameters
    ----------
    text
        What was typed.
    hint
        ``int``, ``float``, ``bool``, ``str``, a ``Literal``, ``tuple[T, ...]`` or ``T | None``.
    name
        Of the setting, for the message.

    Returns
    -------
    object
        The value; lists of values are separated by commas or plus signs.

    Raises
    ------
    InputError
        The text is no such value.
    """
    try:
        return _parse(text, hint)
    except ValueError:
        raise InputError(f"{name}: expected {_expected(hint)}, got '{text}'") from None


def _parse(text: str, hint: Any) -> Any:
    """Parse a text; ValueError if it does not fit."""
    origin = get_origin(hint)
    if origin is Literal:
        return {str(choice): choice for choice in get_args(hint)}[_among(text, map(str, get_args(hint)))]
    if origin is tuple:
        items = text.split("," if "," in text else "+")  # so that a list of texts with lists in them can be given
        return tuple(_parse(item.strip(), get_args(hint)[0]) for item in items if item.strip())
    if origin is types.UnionType:
        inner = next(each for each in get_args(hint) if each is not type(None))
        return None if text.lower() == "none" else _parse(text, inner)
    if hint is bool:
        return _TRUTH[_among(text.lower(), _TRUTH)]
    return hint(text)


def _among(text: str, known: Any) -> str:
    """Return the text if it is known; else ValueError."""
    if text not in set(known):
        raise ValueError(text)
    return text


def _expected(hint: Any) -> str:
    """Say what to type."""
    origin = get_origin(hint)
    if origin is Literal:
        return f"one of {', '.join(map(str, get_args(hint)))}"
    if origin is tuple:
        return f"{_expected(get_args(hint)[0])}, or several separated by commas or plus signs"
    if origin is types.UnionType:
        return " or ".join("none" if each is type(None) else _expected(each) for each in get_args(hint))
    return {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}[hint]
