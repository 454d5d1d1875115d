"""Methods by name: the built-in ones and those that other packages add.

Another package adds a method with an entry point of the group ``uad_models.methods``::

    [project.entry-points."uad_models.methods"]
    my-method = "my_package.my_method:MyMethod"
"""

from importlib.metadata import EntryPoint, entry_points
from typing import Any

from uad_data.errors import InputError
from uad_models.labelled.segmenter import Segmenter
from uad_models.method import Method, unknown_name
from uad_models.methods import METHODS

ENTRY_POINT_GROUP = "uad_models.methods"
#: What is trained where no method is named: first on the phantom, on LGG and on SOOP (docs/synthetic.md).
DEFAULT_METHOD = "synthetic_unet"
#: What learns from labels (`uad_models.labelled`): can be made and loaded by name, and stands in no list of methods.
LABELLED: dict[str, type[Method]] = {"finetune": Segmenter}


def list_methods() -> list[str]:
    """Return the names of all methods, sorted.

    Returns
    -------
    list of str
        Built-in methods and those of installed packages; a package is not imported for this.
    """
    return sorted({*METHODS, *_added()})


def method_class(name: str) -> type[Method]:
    """Return a method's class.

    Parameters
    ----------
    name
        One of `list_methods`, or of `LABELLED`.

    Returns
    -------
    type
        The subclass of `Method`.

    Raises
    ------
    InputError
        An unknown name (the message gives the nearest ones), or a package's entry point that gives no method.
    """
    if name in LABELLED:
        return LABELLED[name]
    if name in METHODS:
        return METHODS[name]
    added = _added()
    if name not in added:
        raise InputError(unknown_name("method", name, list_methods()))
    try:
        found = added[name].load()
    except (ImportError, AttributeError) as error:
        raise InputError(f"method '{name}': {added[name].value} cannot be imported: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Method)):
        raise InputError(f"method '{name}': {added[name].value} is not a subclass of uad_models.method.Method")
    return found


def create(name: str, **config: Any) -> Method:
    """Make a method, untrained.

    Parameters
    ----------
    name
        One of `list_methods`.
    **config
        Fields of the method's ``Config``.

    Returns
    -------
    Method
        With weights drawn from torch's global random state.

    Raises
    ------
    InputError
        An unknown method or parameter, or a value that is not valid.
    """
    cls = method_class(name)
    try:
        return cls(cls.Config.from_dict(config))
    except InputError as error:
        raise InputError(f"method '{name}': {error}") from None


def _added() -> dict[str, EntryPoint]:
    """Entry points of installed packages by method name."""
    return {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}
