"""Weights of a pre-trained method in the network that is to be fine-tuned: by name, with a reason for each."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal, get_args

import pandas as pd
import torch
from torch import Tensor

from uad_data.errors import InputError
from uad_models.checkpoint import replacing
from uad_models.labelled.segmenter import Segmenter

Status = Literal["loaded", "kept", "skipped", "new"]

_CALIBRATION = ("slope", "offset")  # of what `Method.finds_lesions`
_INPUT = ("network.stem.weight", "network.down.0.0.weight")  # of `ResidualUNet` and `UNet`: what sees the sequences


@dataclass(frozen=True)
class Carried:
    """What became of one tensor.

    Parameters
    ----------
    name
        Of the tensor, in both networks.
    numbers
        How many it holds.
    status
        ``"loaded"``; ``"kept"``, as part of a head of another shape; ``"skipped"``, there before and not taken;
        ``"new"``, begins at random or by rule.
    reason
        Why; empty for what was loaded.
    """

    name: str
    numbers: int
    status: Status
    reason: str = ""


@torch.no_grad()
def carry_over(method: Segmenter, weights: Mapping[str, Tensor]) -> list[Carried]:
    """Put pre-trained weights into a network; its head only where the pre-trained one finds lesions already.

    Parameters
    ----------
    method
        Is changed.
    weights
        The state of the pre-trained method, by name.

    Returns
    -------
    list of Carried
        One per tensor and status: what was there before, in its order, then what begins anew. The input layer of
        networks for other sequences is skipped, all else must fit.

    Raises
    ------
    InputError
        The weights are of another family of networks, or of other widths or dimensions; nothing is changed.
    """
    own = method.state_dict()
    missing = [name for name in own if not method.is_head(name) and name not in weights]
    if missing:
        raise InputError(
            f"these weights are not of the network of '{method.config.base}': {len(missing)} of {len(own)} tensors are "
            f"missing, the first is {missing[0]}; give a run of that method"
        )
    told: list[Carried] = []
    head = _lesion_head(method, weights)
    for name, tensor in weights.items():
        reason = ""
        status: Status = "skipped"
        if name in head or (head and name in _CALIBRATION):
            reason, status = "the logit of a lesion, as calibrated, is where each class begins", "kept"
        elif name not in own:
            reason = "not of the part that maps image to image"
        elif method.is_head(name):
            reason = "the head is made anew for the classes"
        elif own[name].shape != tensor.shape:
            reason = f"has shape {tuple(tensor.shape)}, the images' sequences ask for {tuple(own[name].shape)}"
            if name not in _INPUT or own[name].shape[2:] != tensor.shape[2:] or len(own[name]) != len(tensor):
                raise InputError(
                    f"these weights are of a '{method.config.base}' of other widths or dimensions: {name} has shape "
                    f"{tuple(tensor.shape)}, expected {tuple(own[name].shape)}; keep the settings of that run"
                )
        told.append(Carried(name, tensor.numel(), status if reason else "loaded", reason))
    taken = {each.name: weights[each.name] for each in told if each.status == "loaded"} | head
    for name in own:
        if name not in taken:
            reason = "head" if method.is_head(name) else "other sequences than before"
            told.append(Carried(name, own[name].numel(), "new", reason))
    for name, tensor in taken.items():
        own[name].copy_(tensor)
    return told


def _lesion_head(method: Segmenter, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Make the head whose probability of any lesion is that of the pre-trained one; empty if that one finds none.

    With the logit ``z`` of a lesion, the logits are 0 for the background and ``z - log k`` for each of ``k`` classes.
    """
    cls, _ = method.config.base_config
    if not cls.finds_lesions:
        return {}
    slope, offset = (weights[name] for name in _CALIBRATION)
    classes = len(method.config.class_names)
    head = {}
    for name in filter(method.is_head, method.state_dict()):
        cell = 1 if ".coarse." in name else method.fold ** len(method.config.size)
        logit = slope * weights[name][:cell]
        if name.endswith(".bias"):
            logit = logit + offset - math.log(classes)
        head[name] = torch.cat([torch.zeros_like(logit), *[logit] * classes])
    return head


def write_report(told: Sequence[Carried], path: Path) -> None:
    """Write what became of each tensor as a table.

    Parameters
    ----------
    told
        From `carry_over`.
    path
        The ``.csv`` file.
    """
    columns = [each.name for each in fields(Carried)]
    with replacing(path) as temporary:
        pd.DataFrame([vars(each) for each in told], columns=columns).to_csv(temporary, index=False)


def read_report(path: Path) -> list[Carried]:
    """Read what `write_report` wrote.

    Parameters
    ----------
    path
        The ``.csv`` file.

    Returns
    -------
    list of Carried
        As written.
    """
    rows = pd.read_csv(path, keep_default_na=False).to_dict(orient="records")
    return [Carried(**{str(name): value for name, value in row.items()}) for row in rows]


def summary(told: Sequence[Carried]) -> str:
    """Say in one line what was loaded, skipped and made anew, and why.

    Parameters
    ----------
    told
        From `carry_over`.

    Returns
    -------
    str
        Such as ``"loaded 30 tensors (70 368 numbers); skipped 2: the head is made anew for the classes; ..."``.
    """
    parts = []
    for status in get_args(Status):
        found = [each for each in told if each.status == status]
        reasons = sorted({each.reason for each in found} - {""})
        numbers = f"{sum(each.numbers for each in found):,}".replace(",", " ")
        if found:
            parts.append(
                f"{status} {len(found)} tensors ({numbers} numbers)" + (f": {', '.join(reasons)}" if reasons else "")
            )
    return "; ".join(parts)
