"""What map, score and reconstruction of a batch have in common, computed once."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from uad_models.method import Method


@contextmanager
def computing_once(method: Method) -> Iterator[None]:
    """Let a method, and those within it, compute what `Method.shared` names once for each tensor that it is asked of.

    For one batch at a time: all results are held until the context ends. The tensors must not be changed meanwhile, and
    further arguments of a function must be the same whenever its first is.

    Parameters
    ----------
    method
        In ``eval()`` mode; as it was when the context ends.

    Yields
    ------
    None
    """
    # The tensor is held with its result, so that no other can take its id.
    found: dict[tuple[int, str, int, bool], tuple[Any, Any]] = {}

    def remembering(owner: Method, name: str) -> Callable[..., Any]:
        compute = getattr(owner, name)

        def remember(given: Any, **told: Any) -> Any:
            key = (id(owner), name, id(given), torch.is_grad_enabled())
            if key not in found:
                found[key] = (given, compute(given, **told))
            return found[key][1]

        return remember

    owners = [module for module in method.modules() if isinstance(module, Method)]
    replaced = [(owner, name, remembering(owner, name)) for owner in owners for name in owner.shared]
    for owner, name, function in replaced:
        setattr(owner, name, function)
    try:
        yield
    finally:
        for owner, name, _ in replaced:
            delattr(owner, name)
