"""Recipes: the papers' settings, changes, and what is refused."""

import json

import pytest

from uad_data.arrays import ArraySpec
from uad_data.errors import InputError
from uad_data.preparation.recipe import Recipe, read_recipe
from uad_data.preparation.recipes import RECIPES, find_recipe


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_survives_its_record_and_makes_arrays(name) -> None:
    recipe = RECIPES[name]
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe
    assert ArraySpec.from_dict(recipe.arrays).scaling == "none"


def test_the_papers_figures() -> None:
    lambert = {step.name: step for step in RECIPES["lambert2021"].steps}
    assert lambert["register"].shape == (170, 204, 170)
    assert lambert["register"].transform == "rigid"
    assert lambert["register"].spacing == 1
    assert lambert["crop"].shape == (75, 192, 160)
    assert lambert["scale"].rule == "minmax"
    assert {"bias_field", "brain_extraction"} <= set(lambert)
    thesis = {step.name: step for step in RECIPES["ct_thesis"].steps}
    assert thesis["register"].shape == (155, 240, 240)
    assert thesis["resample"].spacing == 1
    assert RECIPES["ct_thesis"].arrays["slices"] == "pixels:10"
    assert RECIPES["ct_thesis"].arrays["size"] == [128, 128]
    assert RECIPES["kascenas2022"].steps[-1].rule == "percentile:99"
    assert RECIPES["context_vae"].steps[-1].rule == "minmax-slice"
    assert RECIPES["context_vae"].arrays["slices"] == "centre:75"


def test_steps_are_left_out_and_set() -> None:
    changed = find_recipe("default").changed(skip=["bias_field"], settings={"resample.spacing": 2})
    assert "bias_field" not in [step.name for step in changed.steps]
    assert next(step for step in changed.steps if step.name == "resample").spacing == 2
    assert next(step for step in RECIPES["default"].steps if step.name == "resample").spacing == 1


def test_unscaled_files_are_scaled_as_arrays() -> None:
    assert find_recipe("lambert2021").changed(skip=["scale"]).arrays["scaling"] == "minmax"


def test_a_recipe_of_ones_own(tmp_path) -> None:
    path = tmp_path / "own.json"
    path.write_text(json.dumps({"name": "own", "steps": [{"step": "resample", "spacing": 3}]}))
    assert find_recipe(str(path)).steps[0].spacing == 3
    path.write_text("{")
    with pytest.raises(InputError, match=r"own\.json: expected a recipe in JSON"):
        read_recipe(path)


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([{"step": "resampel"}], "did you mean 'resample'"),
        ([{"step": "resample", "spacng": 1}], r"resample\.spacng is unknown; did you mean 'spacing'"),
        ([{"step": "resample", "spacing": 0}], r"resample\.spacing: expected 0\.2 to 10 mm, found 0"),
        ([{"step": "crop"}], "crop.*shape"),
        ([{"step": "crop", "shape": [3, 4]}], r"crop\.shape: expected three whole numbers"),
        ([{"step": "register", "transform": "elastic"}], "rigid or affine, found 'elastic'"),
        ([{"step": "brain_extraction", "extractor": "magic"}], r"brain_extraction\.extractor: expected one of auto"),
        ([{"step": "scale", "rule": "percentile:0"}], "percentile:P"),
        ([{"step": "scale"}, {"step": "resample"}], "scale to be the last step"),
        ([{"step": "crop", "shape": [1, 1, 1]}, {"step": "crop", "shape": [1, 1, 1]}], "each step once"),
    ],
)
def test_what_cannot_work_is_refused(steps, message) -> None:
    with pytest.raises(InputError, match=message):
        Recipe.from_dict({"name": "t", "steps": steps})


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(InputError, match="did you mean 'lambert2021'"):
        find_recipe("lambert")
    with pytest.raises(InputError, match="one of its steps"):
        find_recipe("brats").changed(skip=["register"])
