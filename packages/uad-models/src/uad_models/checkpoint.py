"""Weights and training state on disk: safetensors with a JSON header, written whole or not at all; never pickle.

One file holds both parts, so that they cannot disagree: the tensors (weights, best weights, average, optimiser
moments, running sums) and, in the metadata of the safetensors format, one JSON text (format version, method, step,
best loss, random state). The random state is a few integers: the random numbers of a training step are drawn from
streams seeded by (seed, stage, step, rank), see `uad_models.training`.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.optim import Optimizer

from uad_data.atomic import atomic_path
from uad_data.errors import InputError

FORMAT_VERSION = 1
_HEADER = "uad_models"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path whose file takes the place of ``path`` when the block ends well.

    Parameters
    ----------
    path
        The file to write or replace.

    Yields
    ------
    Path
        Where to write.

    Raises
    ------
    InputError
        The disk is full or the folder cannot be written; the file that was there before is untouched.
    """
    try:
        with atomic_path(path) as temporary:
            yield temporary
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"{path} cannot be written: {error}. The earlier file, if any, is intact: "
            "make room or choose another folder, then run the same command again"
        ) from error


def save_tensors(path: Path, tensors: Mapping[str, Tensor], *, method: str, state: Mapping[str, Any]) -> None:
    """Write tensors and a JSON state as one file.

    Parameters
    ----------
    path
        The ``.safetensors`` file; replaced in one step.
    tensors
        By name, on any device.
    method
        Name of the method they belong to.
    state
        JSON values.

    Raises
    ------
    InputError
        As `replacing`.
    """
    # A copy each: safetensors refuses tensors that share memory, as tied weights do.
    copies = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    header = {"format_version": FORMAT_VERSION, "method": method, "state": dict(state)}
    with replacing(path) as temporary:
        temporary.touch()
        mode = temporary.stat().st_mode
        save_file(copies, temporary, metadata={_HEADER: json.dumps(header)})
        # safetensors lets only the owner read what it writes; a run is as readable as any other file of the user's.
        temporary.chmod(mode)


def load_tensors(path: Path, *, method: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save_tensors` wrote.

    Parameters
    ----------
    path
        The ``.safetensors`` file.
    method
        Name of the method that it must belong to.

    Returns
    -------
    tensors : dict
        By name, on the CPU.
    state : dict
        The JSON state.

    Raises
    ------
    InputError
        The file is missing, cut short, not written by this package, of a newer format, or of another method.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get(_HEADER, "null"))
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise InputError(f"{path} does not exist: is this the folder of a finished run?") from None
    except (OSError, SafetensorError, ValueError) as error:
        raise InputError(f"{path} is damaged or cut short ({error}): copy it again, or delete it and train") from error
    if header is None:
        raise InputError(f"{path} was not written by uad-models: it has no '{_HEADER}' entry in its metadata")
    check_version(path, header["format_version"])
    if header["method"] != method:
        raise InputError(f"{path} holds weights of method '{header['method']}', expected '{method}'")
    return tensors, header["state"]


def check_version(path: Path, found: int) -> None:
    """Refuse a file of a newer format.

    Parameters
    ----------
    path, found
        The file and the format version that it states.

    Raises
    ------
    InputError
        ``found`` is above `FORMAT_VERSION`.
    """
    if found > FORMAT_VERSION:
        raise InputError(
            f"{path} has format version {found}, this uad-models reads up to {FORMAT_VERSION}: upgrade uad-models"
        )


def prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors with ``prefix/`` before each name.

    Parameters
    ----------
    prefix, tensors
        One part of a checkpoint.

    Returns
    -------
    dict
        The same tensors.
    """
    return {f"{prefix}/{name}": tensor for name, tensor in tensors.items()}


def part(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors that `prefixed` named, under their own names.

    Parameters
    ----------
    prefix, tensors
        The part's name and the whole checkpoint.

    Returns
    -------
    dict
        Empty when there is no such part.
    """
    start = f"{prefix}/"
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}


def optimiser_tensors(optimisers: Mapping[str, Optimizer]) -> dict[str, Tensor]:
    """Return the state of optimisers (moments and step counts) as named tensors.

    Parameters
    ----------
    optimisers
        By parameter group.

    Returns
    -------
    dict
        ``group/parameter index/name`` to tensor.
    """
    return {
        f"{group}/{index}/{name}": torch.as_tensor(value)
        for group, optimiser in optimisers.items()
        for index, values in optimiser.state_dict()["state"].items()
        for name, value in values.items()
    }


def restore_optimisers(optimisers: Mapping[str, Optimizer], tensors: Mapping[str, Tensor]) -> None:
    """Put back what `optimiser_tensors` took.

    Parameters
    ----------
    optimisers
        By parameter group, as when the tensors were taken.
    tensors
        ``group/parameter index/name`` to tensor.
    """
    for group, optimiser in optimisers.items():
        state: dict[int, dict[str, Tensor]] = {}
        for place, tensor in part(group, tensors).items():
            index, _, name = place.partition("/")
            state.setdefault(int(index), {})[name] = tensor
        optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
