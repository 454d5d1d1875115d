from dataclasses import replace
from pathlib import Path

import pytest
import torch

from uad_data.errors import InputError
from uad_models.labelled.carry_over import carry_over, read_report, summary, write_report
from uad_models.registry import create

BASES = {"denoising_unet": {"channels": (8, 16), "fold": 2}, "synthetic_unet": {"channels": (8, 16, 16), "fold": 2}}


def pair(base, *, channels=1, classes=(), **images):
    torch.manual_seed(1)
    before = create(base, size=(16, 16), **BASES[base])
    network = tuple(f"{k}={'+'.join(map(str, v)) if isinstance(v, tuple) else v}" for k, v in BASES[base].items())
    images = {"size": (16, 16), "in_channels": channels, "modalities": ("flair", "t1")[:channels]} | images
    return before, create("finetune", base=base, network=network, classes=classes, **images)


def test_every_tensor_is_told_and_all_but_the_head_are_taken_over():
    before, after = pair("denoising_unet")
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
    assert {each.name for each in told if each.status == "new"} == {name for name in fresh if after.is_head(name)}


@pytest.mark.parametrize("classes", [(), ("core=1", "oedema=2", "enhancing=4")])
def test_the_head_of_a_network_that_finds_lesions_is_kept(classes):
    """Fine-tuning begins as the calibrated map itself, whatever the classes; the coarse outputs as they were, too."""
    before, after = pair("synthetic_unet", classes=classes, size=(32, 32))
    before.config = replace(before.config, mirror=())
    before.slope.fill_(1.7)
    before.offset.fill_(0.4)
    told = carry_over(after, before.state_dict())
    assert {each.name: each.status for each in told} == {
        name: "kept" if after.is_head(name) or name in ("slope", "offset") else "loaded" for name in before.state_dict()
    }
    assert "; kept 8 tensors" in summary(told)
    x = torch.rand(2, 1, 32, 32) + 0.1
    wanted = before.eval().anomaly_map(x)
    assert wanted.std() > 1e-3
    assert torch.allclose(after.eval().anomaly_map(x), wanted, atol=1e-6)
    shares = after.probabilities(x)[:, 1:]
    assert torch.allclose(shares, shares[:, :1].expand_as(shares))
    for before_logit, logits in zip(before.train().network(x)[1:], after.train().network(x)[1:], strict=True):
        found = logits.softmax(dim=1)[:, 1:].sum(dim=1, keepdim=True)
        assert torch.allclose(found, (1.7 * before_logit + 0.4).sigmoid(), atol=1e-6)


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
