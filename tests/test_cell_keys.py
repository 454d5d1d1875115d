"""A cell's folder stands for all that decides its figures: presets and priors by what they say, and the budget."""

from dataclasses import replace

import pytest

from uad_data import ArraySpec, Cohort, build_arrays
from uad_data.corruptions.lesions import lesion_mix
from uad_data.errors import InputError as DataInputError
from uad_eval.errors import InputError
from uad_eval.experiment import Budget, ExperimentSettings, MethodSpec
from uad_eval.experiment.cell import make_cell
from uad_eval.experiment.training import resolved
from uad_models import method_class

SPEC = ArraySpec(size=(32, 32))
PLAIN = ExperimentSettings(methods=(MethodSpec("ae"),), accelerator="cpu")


@pytest.fixture(scope="module")
def folder_of(small_phantom: Cohort, tmp_path_factory: pytest.TempPathFactory):
    """The name of a cell's folder."""
    store = build_arrays(small_phantom.with_modalities(("flair",)), SPEC, cache=tmp_path_factory.mktemp("arrays"))

    def name(method: str, **changes: object) -> str:
        return make_cell(MethodSpec.parse(method), 0, (store,), replace(PLAIN, **changes)).folder.name

    return name


def test_a_preset_that_changes_makes_another_cell(folder_of, monkeypatch: pytest.MonkeyPatch) -> None:
    before = folder_of("ae"), folder_of("ensemble"), folder_of("vae")
    assert folder_of("ae") == before[0] == folder_of("ae", accelerator="auto", processes=3)
    quick = method_class("ae").presets["quick"]
    with monkeypatch.context() as patch:
        patch.setitem(method_class("ae").presets, "quick", replace(quick, train={**quick.train, "learning_rate": 0.5}))
        assert folder_of("ae") != before[0]
    monkeypatch.setitem(method_class("ae").presets, "quick", replace(quick, config={**quick.config, "latent_dim": 3}))
    changed = folder_of("ae"), folder_of("ensemble"), folder_of("vae")
    assert [one != other for one, other in zip(before, changed, strict=True)] == [True, True, False]


def test_made_up_lesions_that_change_make_other_cells(folder_of, monkeypatch: pytest.MonkeyPatch) -> None:
    before = folder_of("ae"), folder_of("synthetic_unet")
    monkeypatch.setitem(lesion_mix._WEIGHTS, "nsa", 0.5)
    assert folder_of("synthetic_unet") != before[1]
    assert folder_of("ae") != before[0]  # its threshold synthetic_validation


def test_a_budget_is_the_same_for_every_method(folder_of) -> None:
    by_steps, by_minutes = replace(PLAIN, budget="steps:9"), replace(PLAIN, budget="minutes:0.5")
    for name, steps in {"ae": 9, "vae": 9, "vqvae_transformer": 4}.items():
        assert resolved(MethodSpec(name), SPEC, by_steps)[1].steps == steps
        assert resolved(MethodSpec(name), SPEC, by_minutes)[1].minutes == 0.5
    nothing = resolved(MethodSpec("intensity"), SPEC, by_minutes)[1]
    assert nothing == resolved(MethodSpec("intensity"), SPEC, PLAIN)[1]
    assert len({folder_of("ae", budget=budget) for budget in ("", "steps:9", "steps:8", "minutes:0.5")}) == 4
    with pytest.raises(InputError, match="at least 2 steps for 2 stages, found 1"):
        resolved(MethodSpec("vqvae_transformer"), SPEC, replace(PLAIN, budget="steps:1"))


@pytest.mark.parametrize("text", ["steps", "steps:0", "steps:1.5", "hours:1", "minutes:-1", "minutes:nan", "5"])
def test_a_budget_that_cannot_be_read(text: str) -> None:
    with pytest.raises(InputError, match="budget: expected 'steps:500', 'minutes:2' or nothing"):
        replace(PLAIN, budget=text)


def test_a_budget_and_steps_of_ones_own_contradict() -> None:
    assert Budget.parse("") is None
    with pytest.raises(InputError, match=r"budget steps:5: expected methods without .* found ae:steps=3"):
        replace(PLAIN, methods=(MethodSpec.parse("ae:steps=3"),), budget="steps:5")
    with pytest.raises(InputError, match="processes: expected 0 or more, found -1"):
        replace(PLAIN, processes=-1)
    with pytest.raises(DataInputError, match="accelerator"):
        resolved(MethodSpec("ae"), SPEC, replace(PLAIN, accelerator="tpu"))
