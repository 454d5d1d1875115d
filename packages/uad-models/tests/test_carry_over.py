from pathlib import Path

import pytest
import torch

from uad_data.errors import InputError
from uad_models.labelled.carry_over import carry_over, read_report, summary, write_report
from uad_models.registry import create

BASES = {"denoising_unet": {"channels": (8, 16), "fold": 2}, "synthetic_unet": {"channels": (8, 16, 16), "fold": 2}}


def pair(base, *, channels=1, **images):
    torch.manual_seed(1)
    before = create(base, size=(16, 16), **BASES[base])
    network = tuple(f"{k}={'+'.join(map(str, v)) if isinstance(v, tuple) else v}" for k, v in BASES[base].items())
    images = {"size": (16, 16), "in_channels": channels, "modalities": ("flair", "t1")[:channels]} | images
    return before, create("finetune", base=base, network=network, **images)


@pytest.mark.parametrize("base", BASES)
def test_every_tensor_is_told_and_all_but_the_head_are_taken_over(base):
    before, after = pair(base)
    fresh = {name: tensor.clone() for name, tensor in after.state_dict().items()}
    told = carry_over(after, before.state_dict())
    by_name = {each.name: each for each in told if each.status != "new"}
    assert by_name.keys() == before.state_dict().keys()
    for name, tensor in after.state_dict().items():
        if after.is_head(name):
            assert by_name[name].status == "skipped"
            assert torch.equal(tensor, fresh[name])
        else:
            assert by_name[name].status == "loaded"
            assert torch.equal(tensor, before.state_dict()[name])
    rest = {name: each.reason for name, each in by_name.items() if name not in fresh}
    assert set(rest) == ({"slope", "offset"} if base == "synthetic_unet" else set())
    assert set(rest.values()) <= {"not of the part that maps image to image"}
    assert {each.name for each in told if each.status == "new"} == {name for name in fresh if after.is_head(name)}


def test_what_was_taken_over_computes_the_same_features():
    before, after = pair("denoising_unet")
    carry_over(after, before.state_dict())
    seen = {}
    for name, method in (("before", before), ("after", after)):
        method.network.last.register_forward_pre_hook(lambda _, given, name=name: seen.update({name: given[0]}))
    x = torch.rand(2, 1, 16, 16)
    before.reconstruct(x)
    after.anomaly_map(x)
    assert torch.equal(seen["before"], seen["after"])


@pytest.mark.parametrize("base", BASES)
def test_other_sequences_begin_with_a_new_first_layer(base):
    before, after = pair(base, channels=2)
    told = carry_over(after, before.state_dict())
    skipped = [each for each in told if each.status == "skipped" and "sequences" in each.reason]
    assert [each.name for each in skipped] == [
        "network.stem.weight" if base == "synthetic_unet" else "network.down.0.0.weight"
    ]
    assert skipped[0].name in {each.name for each in told if each.status == "new"}
    assert "skipped 3 tensors" in summary(told) or base == "synthetic_unet"


def test_another_family_other_widths_and_other_dimensions_are_refused():
    before, after = pair("denoising_unet")
    was = {name: tensor.clone() for name, tensor in after.state_dict().items()}
    other = pair("synthetic_unet")[0]
    with pytest.raises(InputError, match=r"not of the network of 'denoising_unet': .* tensors are missing"):
        carry_over(after, other.state_dict())
    wide = create("denoising_unet", size=(16, 16), channels=(16, 16), fold=2)
    with pytest.raises(InputError, match=r"of other widths or dimensions: network\.down\.0\.0\.weight has shape"):
        carry_over(after, wide.state_dict())
    deep = pair("denoising_unet", size=(8, 16, 16))[1]
    with pytest.raises(InputError, match="of other widths"):
        carry_over(deep, before.state_dict())
    assert all(torch.equal(tensor, was[name]) for name, tensor in after.state_dict().items())


def test_the_report_is_read_as_written(tmp_path: Path):
    before, after = pair("synthetic_unet")
    told = carry_over(after, before.state_dict())
    write_report(told, tmp_path / "carried.csv")
    assert read_report(tmp_path / "carried.csv") == told
