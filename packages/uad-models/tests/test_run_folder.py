import dataclasses
import json

import pytest
import torch

from uad_data.errors import InputError
from uad_models.checkpoint import load_tensors, save_tensors
from uad_models.run_folder import CHECKPOINT, ENVIRONMENT, MODEL, History, RunConfig, finish_run, load_run
from uad_models.training import fit


@pytest.fixture
def run(store, tmp_path):
    fit("ae", store, tmp_path / "run", config={"channels": (8,)}, train={"steps": 1}, progress=False)
    return tmp_path / "run"


def test_a_run_comes_back_as_it_was(run, store):
    method, config = load_run(run)
    assert config.spec == store.spec
    assert (config.method, config.seed, config.preset, config.status) == ("ae", 0, "quick", "finished")
    assert config.digest == store.digest
    assert method.config.channels == (8,)
    assert not method.training
    weights = load_tensors(run / MODEL, method="ae")[0]
    assert all(torch.equal(tensor, weights[name]) for name, tensor in method.state_dict().items())


def test_loading_leaves_the_random_state_alone(run):
    before = torch.random.get_rng_state()
    load_run(run)
    assert torch.equal(before, torch.random.get_rng_state())


def test_environment_says_what_it_ran_on(run):
    environment = json.loads((run / ENVIRONMENT).read_text())
    assert environment["torch"] == torch.__version__
    assert environment["threads"] == torch.get_num_threads()
    assert environment["cpu"]
    assert environment["seconds"] > 0
    assert environment["peak_memory_bytes"] > 2**20


def test_a_missing_or_empty_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"nowhere does not exist: expected what 'uad-models train"):
        load_run(tmp_path / "nowhere")
    with pytest.raises(InputError, match="is empty"):
        load_run(tmp_path)
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InputError, match=r"has no config\.json"):
        load_run(tmp_path)


def test_an_unfinished_run_is_refused(run):
    RunConfig.read(run).write(run, status="running")
    with pytest.raises(InputError, match="not finished: run the command that started it again, it resumes"):
        load_run(run)


def test_a_missing_model_is_refused(run):
    (run / MODEL).unlink()
    with pytest.raises(InputError, match=r"model\.safetensors does not exist"):
        load_run(run)


def test_a_model_cut_short_is_refused(run):
    (run / MODEL).write_bytes((run / MODEL).read_bytes()[:-10])
    with pytest.raises(InputError, match=r"model\.safetensors is damaged or cut short"):
        load_run(run)


def test_a_model_of_another_method_is_refused(run):
    save_tensors(run / MODEL, {}, method="vae", state={})
    with pytest.raises(InputError, match=r"weights of method 'vae', expected 'ae'"):
        load_run(run)


def test_weights_of_other_settings_are_refused_in_one_line(run):
    save_tensors(run / MODEL, {"other": torch.zeros(1)}, method="ae", state={})
    with pytest.raises(InputError, match=r"model\.safetensors does not fit the settings.*Missing key") as caught:
        load_run(run)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": 99}, "format version 99, this uad-models reads up to 1: upgrade"),
        ({"method": "aee"}, "unknown method 'aee': did you mean ae"),
        ({"unheard_of": 1}, r"config\.json is damaged"),
    ],
)
def test_a_config_that_cannot_be_used_is_refused(run, change, message):
    values = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(values | change))
    with pytest.raises(InputError, match=message):
        load_run(run)


def test_a_config_cut_short_is_refused(run):
    (run / "config.json").write_text((run / "config.json").read_text()[:50])
    with pytest.raises(InputError, match=r"config\.json is damaged"):
        load_run(run)


def test_a_run_from_before_there_were_recipes_loads(run):
    values = json.loads((run / "config.json").read_text())
    assert values.pop("recipe") is None
    (run / "config.json").write_text(json.dumps(values))
    assert load_run(run)[1].recipe is None


def test_the_recipe_of_the_scans_is_kept(store, tmp_path):
    recipe = {"name": "own", "steps": [{"step": "reorient"}], "arrays": {}}
    fit("intensity", dataclasses.replace(store, recipe=recipe), tmp_path / "run", progress=False)
    assert load_run(tmp_path / "run")[1].recipe == recipe


def test_settings_are_compared_by_name(run):
    config = RunConfig.read(run)
    other = dataclasses.replace(config, train=config.train | {"steps": 7})
    with pytest.raises(InputError, match=r"was made with train\.steps = 1, now train\.steps = 7 is asked for"):
        other.check_same(config, run)
    assert other.fingerprint != config.fingerprint
    with pytest.raises(InputError, match="was made with other images: digest = "):
        dataclasses.replace(config, digest="0").check_same(config, run)
    elsewhere = dataclasses.replace(config, train=config.train | {"accelerator": "cuda", "devices": 2})
    elsewhere.check_same(config, run)
    assert elsewhere.fingerprint == config.fingerprint


def test_finishing_removes_the_checkpoint(run):
    method, config = load_run(run)
    (run / CHECKPOINT).touch()
    finish_run(run, config, method, seconds=1.0, device=torch.device("cpu"))
    assert not (run / CHECKPOINT).exists()


def test_history_keeps_columns_in_order_and_old_rows_as_they_were(tmp_path):
    path = tmp_path / "history.csv"
    history = History(path)
    history.add({"stage": "one", "step": 1, "a": 0.1 + 0.2})
    history.add({"stage": "two", "step": 1, "b": 1e-17})
    text = "stage,step,a,b\none,1,0.30000000000000004,\ntwo,1,,1e-17\n"
    assert path.read_text() == text
    resumed = History(path, rows=1)
    resumed.add({"stage": "two", "step": 1, "b": 1e-17})
    assert path.read_text() == text
