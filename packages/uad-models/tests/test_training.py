import csv
import itertools
import json
import math
import multiprocessing
import random
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from uad_data.arrays import ArraySpec, build_arrays
from uad_data.cohort import Cohort
from uad_data.errors import InputError
from uad_models import methods, training
from uad_models.checkpoint import load_tensors, save_tensors
from uad_models.feeding import Feeder
from uad_models.registry import create
from uad_models.run_folder import CHECKPOINT, MODEL, RunConfig, load_run
from uad_models.train_config import TrainConfig
from uad_models.training import fit
from uad_models.training_stage import Stage

SMALL = {"channels": (8, 8), "latent_dim": 8}
SHORT = {"steps": 6, "batch_size": 8, "validate_every": 4, "checkpoint_every": 2, "warmup_steps": 2}


def history(run):
    with open(run / "history.csv", newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def weights(run):
    return load_tensors(run / MODEL, method=RunConfig.read(run).method)[0]


def assert_same_run(one, other):
    assert history(one) == history(other)
    assert weights(one).keys() == weights(other).keys()
    assert all(torch.equal(tensor, weights(other)[name]) for name, tensor in weights(one).items())


def test_training_writes_the_run_folder_and_lowers_the_loss(store, tmp_path):
    method = fit(
        "ae",
        store,
        tmp_path / "run",
        config={**SMALL, "predict_scale": False},
        train={"steps": 60, "batch_size": 8, "validate_every": 20, "learning_rate": 0.01},
        progress=False,
    )
    rows = history(tmp_path / "run")
    assert [(row["stage"], row["step"]) for row in rows] == [("fit", "20"), ("fit", "40"), ("fit", "60")]
    assert float(rows[-1]["val_loss"]) < 0.7 * float(rows[0]["val_loss"])
    assert float(rows[-1]["train_loss"]) < float(rows[0]["train_loss"])
    assert not method.training
    assert all(torch.equal(tensor, weights(tmp_path / "run")[name]) for name, tensor in method.state_dict().items())
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        "config.json", "environment.json", "history.csv", "model.safetensors", "tensorboard"}  # fmt: skip
    assert next((tmp_path / "run" / "tensorboard").iterdir()).stat().st_size > 200


def test_the_loop_takes_the_steps_of_a_plain_one(store, tmp_path):
    train = {"steps": 5, "batch_size": 4, "learning_rate": 0.02, "weight_decay": 0.1, "warmup_steps": 2,
             "gradient_clip": 0.5, "validate_every": 5}  # fmt: skip
    method = fit("ae", store, tmp_path, config=SMALL, train=train, seed=3, progress=False)

    torch.manual_seed(3)
    plain = create("ae", size=(16, 16), **SMALL)
    optimiser = torch.optim.AdamW(plain.parameters(), weight_decay=0.1, fused=True)
    seed = int(np.random.SeedSequence((3, 0)).generate_state(1, np.uint64)[0] >> np.uint64(1))
    feeder = Feeder(store, store.healthy_rows("train"), batch_size=4, seed=seed)
    for step in range(5):
        optimiser.param_groups[0]["lr"] = TrainConfig(**train).learning_rate_at(step)
        optimiser.zero_grad()
        plain.loss(feeder.batch(step))["loss"].backward()
        nn.utils.clip_grad_norm_(plain.parameters(), 0.5)
        optimiser.step()
    for ours, expected in zip(method.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, expected)


def test_accumulated_batches_are_one_large_batch(store, tmp_path, hill):
    large = fit("level", store, tmp_path / "large", train=hill | {"batch_size": 8, "steps": 5}, progress=False)
    train = hill | {"batch_size": 2, "accumulate": 4, "steps": 5}
    accumulated = fit("level", store, tmp_path / "accumulated", train=train, progress=False)
    torch.testing.assert_close(large.weight, accumulated.weight)
    one, other = history(tmp_path / "large"), history(tmp_path / "accumulated")
    assert [float(row["train_loss"]) for row in one] == pytest.approx([float(row["train_loss"]) for row in other])


def test_the_best_weights_are_kept_not_the_last(store, tmp_path, hill):
    method = fit("hill", store, tmp_path, train=hill, progress=False)
    losses = [float(row["val_loss"]) for row in history(tmp_path)]
    assert min(losses) < losses[-1]
    assert (method.weight.item() - 1) ** 2 == pytest.approx(min(losses))


def test_training_stops_when_validation_has_not_improved_for_long_enough(store, tmp_path, hill):
    fit("hill", store, tmp_path, train=hill | {"patience": 3}, progress=False)
    losses = [float(row["val_loss"]) for row in history(tmp_path)]
    assert len(losses) < 30
    assert losses.index(min(losses)) == len(losses) - 4


def test_the_learning_rate_falls_on_a_plateau_of_the_validation_loss(store, tmp_path, hill):
    train = hill | {"steps": 40, "schedule": "plateau", "plateau_factor": 0.5, "plateau_patience": 2, "warmup_steps": 3}
    fit("hill", store, tmp_path, train=train, progress=False)
    rows = history(tmp_path)
    losses, rates = ([float(row[name]) for row in rows] for name in ("val_loss", "learning_rate"))
    expected, best, waited, share = [], math.inf, 0, 1.0
    for step, loss in enumerate(losses):
        expected.append(0.25 * share * min((step + 1) / 3, 1))
        best, waited = (loss, 0) if loss < best * (1 - 1e-4) else (best, waited + 1)
        if waited > 2:
            share, waited = share / 2, 0
    assert rates == pytest.approx(expected)
    assert rates[-1] < 0.2


def test_the_moving_average_is_what_is_validated_and_kept(store, tmp_path, hill):
    method = fit("hill", store, tmp_path, train=hill | {"ema_decay": 0.9, "steps": 3}, progress=False)
    weight = torch.nn.Parameter(torch.zeros(()))
    optimiser = torch.optim.AdamW([weight], lr=0.25, weight_decay=0)
    average = 0.0
    for step in range(3):
        optimiser.zero_grad()
        (weight - 1).square().backward()
        nn.utils.clip_grad_norm_([weight], 1.0)
        optimiser.step()
        decay = min(0.9, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * weight.item()
    assert method.weight.item() == pytest.approx(average)
    assert float(history(tmp_path)[-1]["val_loss"]) == pytest.approx((average - 1) ** 2)


def test_stages_run_in_order_and_groups_take_turns(store, tmp_path, toy):
    fit("toy", store, tmp_path, progress=False)
    assert toy.calls == [("codes", "model", True), ("codes", "opponent", True)] * 6 + [("prior", "all", True)] * 6
    rows = history(tmp_path)
    assert [(row["stage"], row["step"]) for row in rows] == [
        ("codes", "4"), ("codes", "6"), ("prior", "4"), ("prior", "6")]  # fmt: skip
    assert rows[0]["train_opponent_loss"]
    assert not rows[0]["train_code"]
    assert rows[3]["train_code"]


def test_a_group_is_not_moved_by_the_loss_of_another(store, tmp_path, toy, monkeypatch):
    """The opponent's own loss is switched off, so only the model's loss could move it."""
    real = toy.loss

    def loss(self, batch, *, group="all", **which):
        losses = real(self, batch, group=group, **which)
        return {"loss": losses["loss"] * (group != "opponent")}

    monkeypatch.setattr(toy, "loss", loss)
    method = fit("toy", store, tmp_path, train={"learning_rate": 0.1}, progress=False)
    torch.manual_seed(0)
    start = create("toy", size=(16, 16))
    assert torch.equal(method.opponent.weight, start.opponent.weight)
    assert not torch.equal(method.model.weight, start.model.weight)


@pytest.mark.parametrize("interrupt_at", [2, 9, 13, 17])
@pytest.mark.parametrize(
    "train",
    [
        {},
        {"ema_decay": 0.9, "accumulate": 2, "patience": 1},
        {"schedule": "plateau", "plateau_patience": 0, "validate_every": 1, "learning_rate": 0.5},
    ],
)
def test_an_interrupted_run_resumes_in_any_stage(store, tmp_path, toy, monkeypatch, interrupt_at, train):
    fit("toy", store, tmp_path / "whole", train=train, progress=False)
    whole, forwards = list(toy.calls), train.get("accumulate", 1)
    toy.calls.clear()
    monkeypatch.setattr(toy, "interrupt_at", interrupt_at * forwards)
    with pytest.raises(KeyboardInterrupt):
        fit("toy", store, tmp_path / "cut", train=train, progress=False)
    monkeypatch.setattr(toy, "interrupt_at", None)
    toy.calls.clear()
    fit("toy", store, tmp_path / "cut", train=train, progress=False)
    assert_same_run(tmp_path / "whole", tmp_path / "cut")
    assert toy.calls == whole[-len(toy.calls) :]
    if interrupt_at > 6:
        assert len(toy.calls) < len(whole)


def test_augmented_training_gives_the_same_bits_with_workers_and_when_resumed(store, tmp_path, toy, monkeypatch):
    pytest.importorskip("batchgeneratorsv2")
    train = {"augmentation": "nnunet", "accumulate": 2}
    fit("toy", store, tmp_path / "plain", train=train | {"augmentation": "none"}, progress=False)
    fit("toy", store, tmp_path / "whole", train=train, progress=False)
    plain, whole = history(tmp_path / "plain"), history(tmp_path / "whole")
    assert plain[0]["train_model_loss"] != whole[0]["train_model_loss"]
    toy.calls.clear()
    monkeypatch.setattr(toy, "interrupt_at", 14)  # in step 3 of the first stage
    with pytest.raises(KeyboardInterrupt):
        fit("toy", store, tmp_path / "workers", train=train | {"workers": 1}, progress=False)
    assert not multiprocessing.active_children()
    monkeypatch.setattr(toy, "interrupt_at", None)
    fit("toy", store, tmp_path / "workers", train=train, progress=False)
    assert_same_run(tmp_path / "whole", tmp_path / "workers")


def test_validation_is_not_augmented(store, tmp_path, hill):
    pytest.importorskip("batchgeneratorsv2")
    train = hill | {"steps": 1, "learning_rate": 1e-9}
    fit("level", store, tmp_path / "plain", train=train, progress=False)
    fit("level", store, tmp_path / "augmented", train=train | {"augmentation": "nnunet"}, progress=False)
    plain, augmented = (history(tmp_path / name)[0] for name in ("plain", "augmented"))
    assert plain["val_loss"] == augmented["val_loss"]
    assert plain["train_loss"] != augmented["train_loss"]


def test_a_network_for_any_size_trains_on_patches_and_is_used_on_whole_images(store, tmp_path):
    config = {"channels": (8, 8), "fold": 1}
    method = fit("denoising_unet", store, tmp_path, config=config, train=SHORT | {"patch": (8, 8)}, progress=False)
    assert method.config.size == (16, 16)
    assert method.anomaly_map(torch.rand(1, 1, 16, 16)).shape == (1, 1, 16, 16)
    assert load_run(tmp_path)[1].train["patch"] == [8, 8]


@pytest.mark.parametrize(
    ("method", "patch", "message"),
    [
        ("ae", (8, 8), "method 'ae' takes images of one size only"),
        ("denoising_unet", (8, 32), r"patch: expected 2 sides up to \(16, 16\)"),
        ("denoising_unet", (8, 9), "9"),
    ],
)
def test_a_patch_that_the_method_cannot_take_is_refused(store, tmp_path, method, patch, message):
    with pytest.raises(InputError, match=message):
        fit(method, store, tmp_path / "run", train=SHORT | {"patch": patch}, progress=False)
    assert not (tmp_path / "run").exists()


def test_a_run_from_before_augmentation_is_the_same_run(store, tmp_path, monkeypatch):
    fit("ae", store, tmp_path, config=SMALL, train=SHORT, progress=False)
    written = json.loads((tmp_path / "config.json").read_text())
    for name in ("augmentation", "workers", "patch", "plateau_factor", "plateau_patience"):
        del written["train"][name]
    (tmp_path / "config.json").write_text(json.dumps(written))
    monkeypatch.setattr(Stage, "step", None)
    fit("ae", store, tmp_path, config=SMALL, train=SHORT | {"workers": 2}, progress=False)
    with pytest.raises(InputError, match=r"train\.augmentation = None, now train\.augmentation = 'nnunet'"):
        fit("ae", store, tmp_path, config=SMALL, train=SHORT | {"augmentation": "nnunet"}, progress=False)


PROCESSES = """
    import json, os, random, shutil, signal, socket, sys, time
    from pathlib import Path
    import torch
    from uad_data.arrays import ArrayStore
    from uad_models.methods import METHODS
    from uad_models.training import fit

    sys.path.insert(0, sys.argv[1])
    from conftest import Level
    from test_training import KILLED, TWO

    METHODS["level"] = Level
    torch.set_num_threads(1)
    folder, out, seed = Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])

    def child(run, method, settings, **environment):
        pid = os.fork()
        if pid == 0:
            os.environ.update(environment)
            fit(method, ArrayStore.open(folder), out / run, progress=False, **settings)
            os._exit(0)
        return pid

    start = time.monotonic()
    assert os.waitpid(child("whole", "vae", KILLED), 0)[1] == 0
    seconds = time.monotonic() - start
    chance, kills = random.Random(seed), []
    while sum(kills) < 3:  # again with shorter waits, if the machine has become faster
        shutil.rmtree(out / "killed", ignore_errors=True)
        seconds, kills = 0.8 * seconds, []
        while len(kills) < 20:
            pid = child("killed", "vae", KILLED)
            time.sleep(chance.uniform(0.2, 0.7) * seconds)
            os.kill(pid, signal.SIGKILL)
            if os.waitpid(pid, 0)[1] == 0:
                break
            kills.append((out / "killed" / "checkpoint.safetensors").exists())
        else:  # the machine has become slower
            assert os.waitpid(child("killed", "vae", KILLED), 0)[1] == 0

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    ranks = [child("two", "level", TWO, LOCAL_RANK=str(rank), **place) for rank in range(2)]
    assert [os.waitpid(pid, 0)[1] for pid in ranks] == [0, 0]
    print(json.dumps(kills))
"""
KILLED = {
    "config": {"channels": (8, 8)},
    "train": {"steps": 40, "batch_size": 8, "validate_every": 7, "checkpoint_every": 4, "ema_decay": 0.9},
}
ONE = {"train": {"steps": 4, "batch_size": 4, "accumulate": 2, "ema_decay": 0.5, "validate_every": 1}}
TWO = {"train": ONE["train"] | {"accelerator": "cpu", "devices": 2}}


@pytest.fixture(scope="module")
def processes(store, tmp_path_factory):
    """Runs of processes that are killed or work together: their folder, and at which kills a checkpoint was there."""
    out, seed = tmp_path_factory.mktemp("processes"), random.randrange(10**6)
    arguments = [Path(__file__).parent, store.folder, out, seed]
    command = [sys.executable, "-c", textwrap.dedent(PROCESSES), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, f"seed {seed}: {done.stderr}"
    return out, json.loads(done.stdout.splitlines()[-1])


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
def test_a_run_that_is_killed_again_and_again_ends_with_the_same_bits(processes):
    out, kills = processes
    assert sum(kills) >= 3
    assert_same_run(out / "whole", out / "killed")
    assert (out / "whole" / MODEL).read_bytes() == (out / "killed" / MODEL).read_bytes()
    assert not list((out / "killed").glob(".tmp*"))


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
def test_two_processes_train_as_one(processes, store, tmp_path, hill):
    two = processes[0] / "two"
    fit("level", store, tmp_path, progress=False, **ONE)
    torch.testing.assert_close(weights(tmp_path), weights(two))
    for name in ("train_loss", "val_loss"):
        assert [float(row[name]) for row in history(tmp_path)] == pytest.approx(
            [float(row[name]) for row in history(two)], rel=1e-5
        )


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still but for a second at each step."""
    now, real = [0.0], Stage.step

    def step(self, *arguments, **options):
        real(self, *arguments, **options)
        now[0] += 1.0

    monkeypatch.setattr(Stage, "step", step)
    monkeypatch.setattr(training, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


def test_minutes_end_a_training_that_steps_would_not(store, tmp_path, hill, clock):
    train = hill | {"minutes": 0.2, "schedule": "cosine", "validate_every": 5, "steps": 3}
    fit("level", store, tmp_path, train=train, progress=False)
    rows = history(tmp_path)
    assert [row["step"] for row in rows] == ["5", "10", "12"]
    halves = [0.125 * (1 + math.cos(math.pi * (step - 1) / 12)) for step in (5, 10, 12)]
    assert [float(row["learning_rate"]) for row in rows] == pytest.approx(halves)


def test_a_training_by_the_clock_that_was_killed_has_the_time_that_was_left(store, tmp_path, hill, clock, monkeypatch):
    train = hill | {"minutes": 0.2, "validate_every": 5, "checkpoint_every": 4}
    fit("level", store, tmp_path / "whole", train=train, progress=False)
    real = training._Training._save
    with monkeypatch.context() as patch:

        def killed(self, tensors):
            real(self, tensors)
            raise KeyboardInterrupt

        patch.setattr(training._Training, "_save", killed)
        for _ in range(2):  # after 4 steps, and after 8
            clock[0] += 1000
            with pytest.raises(KeyboardInterrupt):
                fit("level", store, tmp_path / "cut", train=train, progress=False)
    clock[0] += 1000
    fit("level", store, tmp_path / "cut", train=train, progress=False)
    assert_same_run(tmp_path / "whole", tmp_path / "cut")
    assert [row["step"] for row in history(tmp_path / "cut")] == ["5", "10", "12"]


def test_stages_share_the_minutes(store, tmp_path, clock):
    train = {"minutes": 0.1, "batch_size": 4, "validate_every": 50}
    fit("vae_pretrained", store, tmp_path, config={"channels": (8, 8)}, train=train, progress=False)
    assert [(row["stage"], row["step"]) for row in history(tmp_path)] == [("restore", "3"), ("fit", "3")]


def test_a_finished_run_returns_at_once(store, tmp_path, monkeypatch):
    first = fit("ae", store, tmp_path, config=SMALL, train=SHORT, progress=False)
    monkeypatch.setattr(Stage, "step", None)
    again = fit("ae", store, tmp_path, config=SMALL, train=SHORT | {"accelerator": "cpu"}, progress=False)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"seed": 1}, "seed"),
        ({"config": {"channels": (16, 8)}}, r"config\.channels"),
        ({"train": SHORT | {"steps": 7}}, r"train\.steps"),
    ],
)
def test_other_settings_in_the_same_folder_are_refused_by_name(store, tmp_path, change, name):
    fit("ae", store, tmp_path, config=SMALL, train=SHORT, progress=False)
    with pytest.raises(InputError, match=f"was made with {name} = .* is asked for"):
        fit("ae", store, tmp_path, **({"config": SMALL, "train": SHORT, "progress": False} | change))


def test_a_checkpoint_of_another_method_or_run_is_refused(store, tmp_path):
    save_tensors(tmp_path / CHECKPOINT, {}, method="vae", state={})
    with pytest.raises(InputError, match="weights of method 'vae', expected 'ae'"):
        fit("ae", store, tmp_path, config=SMALL, train=SHORT, progress=False)
    save_tensors(tmp_path / CHECKPOINT, {}, method="ae", state={"settings": "others"})
    with pytest.raises(InputError, match="belongs to a run with other settings: delete it"):
        fit("ae", store, tmp_path, config=SMALL, train=SHORT, progress=False)


def test_a_full_disk_stops_the_run_with_one_line_and_it_resumes(store, tmp_path, monkeypatch):
    fit("ae", store, tmp_path / "whole", config=SMALL, train=SHORT, progress=False)
    real, calls = training.save_tensors, itertools.count()

    def full_at_the_second(path, *arguments, **options):
        if next(calls) == 1:
            monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        real(path, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(training, "save_tensors", full_at_the_second)
        with pytest.raises(InputError, match=r"checkpoint\.safetensors cannot be written: .*No space left"):
            fit("ae", store, tmp_path / "cut", config=SMALL, train=SHORT, progress=False)
        assert load_tensors(tmp_path / "cut" / CHECKPOINT, method="ae")[1]["progress"]["step"] == 2
    monkeypatch.undo()
    fit("ae", store, tmp_path / "cut", config=SMALL, train=SHORT, progress=False)
    assert_same_run(tmp_path / "whole", tmp_path / "cut")


def test_a_method_with_nothing_to_train_gets_its_run_folder(store, tmp_path):
    fit("intensity", store, tmp_path, preset="paper", progress=False)
    assert RunConfig.read(tmp_path).status == "finished"
    assert RunConfig.read(tmp_path).config["equalise"] is True
    assert history(tmp_path) == []


def test_a_cohort_without_healthy_slices_is_refused(cohort_csv, tmp_path):
    cohort = Cohort.read(cohort_csv)
    ill = Cohort(cohort.table[cohort.table["pathology"] == "tumour"], cohort.root)
    store = build_arrays(ill, ArraySpec(size=(16, 16), slices="centre:2"), cache=tmp_path / "cache", progress=False)
    with pytest.raises(InputError, match="no healthy slice"):
        fit("ae", store, tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_a_loss_that_is_not_finite_is_refused(store, tmp_path, hill, monkeypatch):
    monkeypatch.setattr(methods.METHODS["hill"], "loss", lambda self, *_, **__: {"loss": self.weight.log() * 0})
    with pytest.raises(InputError, match=r"not finite at step 1: .*nan.*learning_rate below 0\.25"):
        fit("hill", store, tmp_path, train=hill, progress=False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preset": "fast"}, "unknown preset of method 'ae' 'fast': .*known: paper, quick"),
        ({"seed": -1}, "seed: expected at least 0, got -1"),
        ({"config": {"size": (8, 8)}}, "size follows from the images"),
        ({"config": {"latent_dm": 3}}, "unknown parameter 'latent_dm': did you mean latent_dim"),
        ({"train": {"step": 3}}, "unknown training parameter 'step': did you mean steps"),
    ],
)
def test_settings_that_do_not_exist_are_refused(store, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        fit("ae", store, tmp_path, progress=False, **options)


def test_the_callers_random_state_is_left_alone(store, tmp_path):
    before = torch.random.get_rng_state()
    fit("vae", store, tmp_path, config=SMALL, train=SHORT, progress=False)
    assert torch.equal(before, torch.random.get_rng_state())


def test_seeds_differ_and_repeat(store, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        fit("vae", store, tmp_path / name, config=SMALL, train=SHORT, seed=seed, progress=False)
    assert_same_run(tmp_path / "a", tmp_path / "b")
    assert history(tmp_path / "a") != history(tmp_path / "c")


def test_half_precision_trains_in_single_precision_weights(store, tmp_path):
    method = fit("ae", store, tmp_path, config=SMALL, train=SHORT | {"precision": "bf16-mixed"}, progress=False)
    assert {parameter.dtype for parameter in method.parameters()} == {torch.float32}
    full = fit("ae", store, tmp_path / "full", config=SMALL, train=SHORT, progress=False)
    assert not torch.equal(next(method.parameters()), next(full.parameters()))
