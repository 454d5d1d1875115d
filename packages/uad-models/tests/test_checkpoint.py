import errno
import json
import os

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from uad_data.errors import InputError
from uad_models import checkpoint
from uad_models.checkpoint import load_tensors, optimiser_tensors, part, prefixed, restore_optimisers, save_tensors

TENSORS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor([1, 255], dtype=torch.uint8)}


def test_tensors_and_state_come_back_exactly(tmp_path):
    state = {"step": 3, "best": 0.1 + 0.2, "none": None}
    save_tensors(tmp_path / "x.safetensors", TENSORS, method="ae", state=state)
    tensors, read = load_tensors(tmp_path / "x.safetensors", method="ae")
    assert read == state
    assert tensors.keys() == TENSORS.keys()
    assert all(
        torch.equal(tensors[name], TENSORS[name]) and tensors[name].dtype == TENSORS[name].dtype for name in "ab"
    )


def test_tied_weights_are_saved(tmp_path):
    weight = torch.ones(3)
    save_tensors(tmp_path / "x.safetensors", {"a": weight, "b": weight}, method="ae", state={})
    assert load_tensors(tmp_path / "x.safetensors", method="ae")[0]["b"].sum() == 3


def test_the_file_is_as_readable_as_others(tmp_path):
    save_tensors(tmp_path / "x.safetensors", TENSORS, method="ae", state={})
    (tmp_path / "other").touch()
    assert os.stat(tmp_path / "x.safetensors").st_mode == os.stat(tmp_path / "other").st_mode


def test_another_method_is_refused_with_both_names(tmp_path):
    save_tensors(tmp_path / "x.safetensors", TENSORS, method="vae", state={})
    with pytest.raises(InputError, match=r"weights of method 'vae', expected 'ae'"):
        load_tensors(tmp_path / "x.safetensors", method="ae")


def test_a_newer_format_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "FORMAT_VERSION", 99)
    save_tensors(tmp_path / "x.safetensors", TENSORS, method="ae", state={})
    monkeypatch.undo()
    with pytest.raises(InputError, match=r"format version 99, this uad-models reads up to 1: upgrade"):
        load_tensors(tmp_path / "x.safetensors", method="ae")


@pytest.mark.parametrize("keep", [0, 5, 100, -1])
def test_a_file_cut_short_is_refused(tmp_path, keep):
    path = tmp_path / "x.safetensors"
    save_tensors(path, TENSORS, method="ae", state={})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"x\.safetensors is damaged or cut short"):
        load_tensors(path, method="ae")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"x\.safetensors does not exist"):
        load_tensors(tmp_path / "x.safetensors", method="ae")


def test_a_foreign_file_is_refused(tmp_path):
    save_file(TENSORS, tmp_path / "x.safetensors", metadata={"uad": json.dumps({})})
    with pytest.raises(InputError, match=r"not written by uad-models"):
        load_tensors(tmp_path / "x.safetensors", method="ae")


def test_a_full_disk_leaves_the_earlier_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "x.safetensors"
    save_tensors(path, TENSORS, method="ae", state={"step": 1})

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match=r"x\.safetensors cannot be written: .*No space left.*earlier file.*intact"):
        save_tensors(path, TENSORS, method="ae", state={"step": 2})
    assert load_tensors(path, method="ae")[1] == {"step": 1}
    assert os.listdir(tmp_path) == ["x.safetensors"]


def test_parts_are_told_apart():
    whole = prefixed("model", {"w": torch.zeros(1)}) | prefixed("model2", {"v": torch.ones(1)})
    assert list(part("model", whole)) == ["w"]
    assert part("other", whole) == {}


def _two_optimisers():
    torch.manual_seed(0)
    networks = {"one": nn.Linear(3, 2), "two": nn.Linear(2, 1)}
    return networks, {name: torch.optim.AdamW(net.parameters(), lr=0.1) for name, net in networks.items()}


def _steps(networks, optimisers, count):
    for _ in range(count):
        for optimiser in optimisers.values():
            optimiser.zero_grad()
        networks["two"](networks["one"](torch.ones(4, 3))).square().mean().backward()
        for optimiser in optimisers.values():
            optimiser.step()


def test_optimisers_go_on_as_if_never_saved(tmp_path):
    networks, optimisers = _two_optimisers()
    _steps(networks, optimisers, 5)
    expected = {name: [p.detach().clone() for p in net.parameters()] for name, net in networks.items()}

    networks, optimisers = _two_optimisers()
    _steps(networks, optimisers, 2)
    save_tensors(tmp_path / "x.safetensors", optimiser_tensors(optimisers), method="ae", state={})
    optimisers = {name: torch.optim.AdamW(net.parameters(), lr=0.1) for name, net in networks.items()}
    restore_optimisers(optimisers, load_tensors(tmp_path / "x.safetensors", method="ae")[0])
    _steps(networks, optimisers, 3)
    for name, net in networks.items():
        assert all(torch.equal(a, b) for a, b in zip(net.parameters(), expected[name], strict=True))
