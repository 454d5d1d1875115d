"""The config's checks, the base class, and the functions that methods share."""

from dataclasses import dataclass
from typing import Literal

import pytest
import torch

from uad_data.errors import InputError
from uad_models.method import Method, MethodConfig, brain_of, check_field, unknown_name


@dataclass(frozen=True)
class ThingConfig(MethodConfig):
    kind: Literal["round", "square"] = "round"
    width: float = 1.0
    many: bool = False
    depth: int | None = None

    @property
    def size_multiple(self) -> int:
        return 8


class Thing(Method):
    name = "thing"
    Config = ThingConfig

    def __init__(self, config: ThingConfig) -> None:
        super().__init__(config)
        self.weight = torch.nn.Parameter(torch.ones(()))

    def reconstruct(self, x: torch.Tensor) -> torch.Tensor:
        return self.weight * x / 2


def test_from_dict_takes_lists_and_to_dict_gives_them_back():
    config = ThingConfig.from_dict({"size": [16, 24, 8], "kind": "square", "width": 2, "depth": 3})
    assert config.size == (16, 24, 8)
    assert ThingConfig.from_dict(config.to_dict()) == config
    assert config.to_dict() == {
        "in_channels": 1,
        "size": [16, 24, 8],
        "kind": "square",
        "width": 2,
        "many": False,
        "depth": 3,
    }


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"in_chanels": 2}, "did you mean in_channels"),
        ({"kind": "rond"}, "did you mean round"),
        ({"kind": 3}, "known: round, square"),
        ({"width": "wide"}, "width: expected float, got 'wide'"),
        ({"width": True}, "width: expected float, got True"),
        ({"many": 1}, "many: expected bool, got 1"),
        ({"depth": 1.5}, "depth: expected int | None, got 1.5"),
        ({"size": 128}, "size: expected tuple"),
        ({"size": [16.0, 16]}, "size: expected tuple"),
        ({"in_channels": 0}, "at least 1, got 0"),
        ({"size": [16]}, r"\(h, w\) or \(d, h, w\)"),
        ({"size": [0, 16]}, "all positive"),
        ({"size": [20, 16]}, r"multiple of 8; the nearest valid: \(16, 16\) or \(24, 16\)"),
        ({"size": [3, 8]}, r"nearest valid: \(8, 8\)$"),
    ],
)
def test_a_bad_value_is_refused_by_name(values, message):
    with pytest.raises(InputError, match=message.replace("int | None", r"int \| None")):
        ThingConfig.from_dict(values)


def test_a_config_of_another_method_is_refused():
    with pytest.raises(TypeError, match="needs a ThingConfig"):
        Thing(MethodConfig())


def test_all_parameters_are_one_group_unless_a_method_says_otherwise():
    method = Thing(ThingConfig())
    assert method.stages == ("fit",)
    assert method.parameter_groups("fit") == {"all": [method.weight]}


def test_the_score_is_the_distance_between_image_and_reconstruction():
    x = torch.zeros(2, 1, 8, 8)
    x[0, 0, :2, 0] = torch.tensor([6.0, 8.0])
    score = Thing(ThingConfig(size=(8, 8))).anomaly_score(x)
    assert score.tolist() == pytest.approx([5.0, 0.0])


@pytest.mark.parametrize("name", ["loss", "anomaly_map"])
def test_what_a_method_does_not_give_is_an_error(name):
    method = Thing(ThingConfig())
    with pytest.raises(NotImplementedError, match="thing has no"):
        getattr(method, name)({} if name == "loss" else torch.zeros(1, 1, 8, 8))
    with pytest.raises(NotImplementedError, match="no reconstruction"):
        super(Thing, method).reconstruct(torch.zeros(1, 1, 8, 8))


def test_the_brain_is_where_any_channel_is_not_0():
    x = torch.zeros(1, 2, 2, 2)
    x[0, 0, 0, 0], x[0, 1, 1, 1] = 1.0, -1.0
    assert brain_of(x).tolist() == [[[[True, False], [False, True]]]]


def test_an_unknown_name_comes_with_the_nearest():
    assert unknown_name("method", "va", ["ae", "vae", "other"]) == (
        "unknown method 'va': did you mean vae or ae? known: ae, other, vae"
    )
    assert unknown_name("method", "zzz", ["ae"]) == "unknown method 'zzz': known: ae"


def test_a_field_is_checked_against_its_annotation():
    check_field("width", 3, float)
    with pytest.raises(InputError, match=r"width: expected int, got 3\.0"):
        check_field("width", 3.0, int)
