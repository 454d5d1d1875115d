"""One method at several values of one setting."""

from collections.abc import Sequence

from uad_eval.errors import InputError
from uad_eval.experiment.settings import MethodSpec


def sweep(spec: MethodSpec, setting: str, values: Sequence[int], **shared: object) -> dict[int, MethodSpec]:
    """Give a method at each value of a setting.

    Parameters
    ----------
    spec : MethodSpec
        The method with what it always has.
    setting : str
        What to vary, such as ``"latent_dim"``.
    values : sequence of int
        At least one, above 0.
    **shared
        Further settings of all, such as ``steps=300``; what `spec` itself says comes before.

    Returns
    -------
    dict of int to MethodSpec
        By value, rising, each once.

    Raises
    ------
    InputError
        There is no value, one is below 1, or the method has a value of that setting already.
    """
    if not values or min(values) < 1:
        raise InputError(f"{setting}: expected at least one value, all above 0, found {list(values)}")
    if setting in spec.settings:
        raise InputError(f"method {spec}: {setting} is what is varied, leave it out")
    common = {key: str(value) for key, value in shared.items()} | spec.settings
    return {value: MethodSpec(spec.name, common | {setting: str(value)}) for value in sorted(set(values))}
