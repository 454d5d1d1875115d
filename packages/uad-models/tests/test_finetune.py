"""Fine-tuning through the one training loop: what is seen, resumed, refused, and what predict makes of the run."""

import csv
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import torch

from uad_data.errors import InputError
from uad_models import finetune, fit, load_run
from uad_models.checkpoint import load_tensors
from uad_models.cli import main
from uad_models.clinical.verdict import HEALTHY_SHARE, fit_verdict, load_verdict
from uad_models.feeding import Feeder
from uad_models.labelled.carry_over import read_report
from uad_models.labelled.segmenter import Segmenter
from uad_models.run_folder import MODEL, RunConfig

NETWORK = {"channels": (8, 16), "fold": 2}
SHORT = {"steps": 6, "batch_size": 4, "validate_every": 3, "checkpoint_every": 2, "warmup_steps": 2}
PLAIN = SHORT | {"augmentation": "none"}


@pytest.fixture(scope="module")
def pretrained(store, tmp_path_factory):
    run = tmp_path_factory.mktemp("pretrained") / "run"
    fit("denoising_unet", store, run, config=NETWORK, train=SHORT, progress=False)
    return run


def weights(run):
    return load_tensors(run / MODEL, method=RunConfig.read(run).method)[0]


def history(run):
    with open(run / "history.csv", newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def assert_same_run(one, other):
    assert history(one) == history(other)
    assert all(torch.equal(tensor, weights(other)[name]) for name, tensor in weights(one).items())


def interrupted(run, store, monkeypatch, **options):
    """Start a fine-tuning and break it off in its fifth step."""
    calls, loss = [], Segmenter.loss

    def stopping(self, *args, **which):
        calls.append(self.training)
        if sum(calls) == 5:
            raise KeyboardInterrupt
        return loss(self, *args, **which)

    with monkeypatch.context() as patch:
        patch.setattr(Segmenter, "loss", stopping)
        with pytest.raises(KeyboardInterrupt):
            finetune(store, run, progress=False, **options)


@pytest.mark.parametrize("start", ["pretrained", "scratch"])
def test_resumed_it_gives_the_same_bits(store, pretrained, tmp_path, monkeypatch, start):
    options = {"scans": 1, "train": SHORT, "pretrained": pretrained if start == "pretrained" else None}
    options |= {"config": {"rate_decay": 0.5}}
    finetune(store, tmp_path / "whole", progress=False, **options)
    interrupted(tmp_path / "broken", store, monkeypatch, **options)
    assert RunConfig.read(tmp_path / "broken").status == "running"
    finetune(store, tmp_path / "broken", progress=False, **options)
    assert_same_run(tmp_path / "whole", tmp_path / "broken")


def test_the_run_says_whose_labels_were_seen_and_what_it_began_as(store, pretrained, tmp_path):
    run = tmp_path / "run"
    method = finetune(store, run, pretrained=pretrained, scans=1, train=PLAIN, progress=False)
    said = RunConfig.read(run)
    assert (said.method, said.config["base"], len(said.labels["scans"])) == ("finetune", "denoising_unet", 1)
    assert said.labels["validation_scans"] == ["s5"]
    assert said.rows["val"] == (store.index["scan"] == 5).sum()
    told = read_report(run / "carried_over.csv")
    assert {each.name for each in told if each.status == "loaded"} == {
        name for name in method.state_dict() if not method.is_head(name)
    }
    loaded, _ = load_run(run)
    x = torch.rand(2, 1, 16, 16)
    assert torch.equal(loaded.anomaly_map(x), method.anomaly_map(x))
    assert RunConfig.read(pretrained).labels is None


def test_a_finished_run_is_loaded_and_another_start_is_refused(store, pretrained, tmp_path):
    options = {"scans": 1, "train": PLAIN, "progress": False}
    finetune(store, tmp_path, pretrained=pretrained, **options)
    before = (tmp_path / MODEL).stat().st_mtime_ns
    finetune(store, tmp_path, pretrained=pretrained, **options)
    assert (tmp_path / MODEL).stat().st_mtime_ns == before
    with pytest.raises(InputError, match="was made with"):
        finetune(store, tmp_path, **options)
    with pytest.raises(InputError, match=r"was made with labels.scans = \["):
        finetune(store, tmp_path, pretrained=pretrained, **options | {"scans": 2})


def test_training_begins_with_the_weights_of_the_run(store, pretrained, tmp_path):
    """At a rate of almost nothing, what comes out is what was put in."""
    still = PLAIN | {"learning_rate": 1e-12}
    method = finetune(store, tmp_path, pretrained=pretrained, train=still, progress=False)
    for name, tensor in weights(pretrained).items():
        if not method.is_head(name):
            assert torch.allclose(method.state_dict()[name], tensor, atol=1e-9)


def test_a_kept_head_competes_with_what_training_makes_of_it(store, tmp_path, monkeypatch):
    """Weights that already find lesions are validated as step 0, and stay if training only spoils them."""
    base, loss, validated = tmp_path / "base", Segmenter.loss, []
    fit("synthetic_unet", store, base, config={"channels": (8, 16), "coarse": 1}, train=PLAIN, progress=False)

    def ever_worse(self, *args, **which):
        if self.training:
            return loss(self, *args, **which)
        validated.append(float(len(validated)))
        return {"loss": torch.tensor(validated[-1])}

    monkeypatch.setattr(Segmenter, "loss", ever_worse)
    method = finetune(store, tmp_path / "run", pretrained=base, train=PLAIN, progress=False)
    before = weights(base)
    assert all(torch.equal(tensor, before[n]) for n, tensor in method.state_dict().items() if not method.is_head(n))
    finetune(store, tmp_path / "new", pretrained=base, from_scratch=True, train=PLAIN, progress=False)
    steps = [[int(row["step"]) for row in history(tmp_path / name)] for name in ("run", "new")]
    assert steps == [[0, 3, 6], [3, 6]]


def test_from_scratch_the_network_is_that_of_the_run_and_its_weights_are_not(store, pretrained, tmp_path):
    still = PLAIN | {"learning_rate": 1e-12}
    scratch = finetune(store, tmp_path / "run", pretrained=pretrained, from_scratch=True, train=still, progress=False)
    before = weights(pretrained)
    assert {name for name in before if scratch.state_dict()[name].shape == before[name].shape} >= {
        name for name in before if not scratch.is_head(name)
    }
    assert not torch.allclose(scratch.state_dict()["network.up.0.0.weight"], before["network.up.0.0.weight"], atol=1e-3)
    assert RunConfig.read(tmp_path / "run").labels["pretrained"] is None
    assert not (tmp_path / "run" / "carried_over.csv").exists()


def test_a_frozen_encoder_keeps_its_bits(store, pretrained, tmp_path):
    method = finetune(store, tmp_path, pretrained=pretrained, config={"encoder": "frozen"}, train=PLAIN, progress=False)
    same = {name for name, tensor in weights(pretrained).items() if torch.equal(tensor, method.state_dict()[name])}
    assert same == {name for name in method.state_dict() if method.is_encoder(name)}


def test_layers_far_from_the_head_move_less(store, pretrained, tmp_path):
    train = PLAIN | {"steps": 1, "validate_every": 1, "warmup_steps": 0, "weight_decay": 0.0, "gradient_clip": 0.0}
    method = finetune(store, tmp_path, pretrained=pretrained, config={"rate_decay": 0.1}, train=train, progress=False)
    before = weights(pretrained)
    for name in ("network.up.0.0.weight", "network.down.1.0.weight", "network.down.0.0.weight"):
        # The first step of Adam moves every weight by its learning rate.
        moved = (method.state_dict()[name] - before[name]).abs().max().item()
        rate = Segmenter.presets["quick"].train["learning_rate"] * method.learning_rate_factor(name)
        assert moved == pytest.approx(rate, rel=0.05)


def test_only_the_chosen_labels_are_read(store, pretrained, tmp_path):
    """The labels and images of all other people are replaced by noise; not a bit changes."""
    options = {"pretrained": pretrained, "scans": 1, "train": PLAIN, "progress": False}
    finetune(store, tmp_path / "honest", **options)
    seen = RunConfig.read(tmp_path / "honest").labels
    others = ~store.index["subject"].isin([*seen["scans"], *seen["validation_scans"]]).to_numpy()
    assert others.any()
    rng = np.random.default_rng(0)
    lesion, image = np.array(store.lesion), np.array(store.image)
    lesion[others] = rng.integers(0, 2, lesion[others].shape)
    image[others] = rng.random(image[others].shape)
    finetune(replace(store, lesion=lesion, image=image), tmp_path / "noise", **options)
    assert_same_run(tmp_path / "honest", tmp_path / "noise")
    lesion[~others] = rng.integers(0, 2, lesion[~others].shape)
    finetune(replace(store, lesion=lesion), tmp_path / "other", **options)
    assert history(tmp_path / "honest") != history(tmp_path / "other")


def test_labels_move_with_their_images(store):
    """Images that are their own labels stay so, up to interpolation and noise, when both are augmented."""
    rows = np.flatnonzero(store.index["lesion_voxels"] > 0)
    twin = replace(store, image=(store.brain + 4.0 * (store.lesion > 0))[:, None].astype(np.float32))
    options = {"batch_size": 8, "augmentation": "nnunet", "labels": True}
    feeder = Feeder(twin, rows, **options)
    found = [feeder.batch(index) for index in range(3)]
    for each in found:
        image, brain, lesion = (each[name] for name in ("image", "brain", "lesion"))
        assert (lesion.dtype, lesion.shape) == (torch.uint8, brain.shape)
        assert image[(lesion > 0) & brain].median() > image[(lesion == 0) & brain].median() + 1
    plain = Feeder(twin, rows, batch_size=8, labels=True).batch(0)
    assert not torch.equal(plain["lesion"], found[0]["lesion"])
    assert "lesion" not in Feeder(twin, rows, batch_size=8).batch(0)


def test_patches_have_their_own_labels(store):
    twin = replace(store, image=(store.lesion > 0)[:, None].astype(np.float32))
    rows = np.flatnonzero(store.index["lesion_voxels"] > 0)
    batch = Feeder(twin, rows, batch_size=8, patch=(8, 8), labels=True).batch(0)
    assert batch["lesion"].any()
    assert torch.equal(batch["image"] > 0, batch["lesion"] > 0)


def test_wrong_families_and_what_cannot_be_asked(store, pretrained, tmp_path):
    for options, message in (
        ({"scans": 0}, "0 labelled scans is the anomaly map of the pre-trained run itself"),
        (
            {"base": "synthetic_unet", "pretrained": pretrained},
            "is of method 'denoising_unet', expected 'synthetic_unet'",
        ),
        ({"base": "ae"}, "method 'ae' cannot be fine-tuned"),
        ({"config": {"network": ("fold=1",)}}, "network follows from the images and the base"),
        ({"preset": "fast"}, "unknown preset"),
        ({"config": {"classes": ("core=2",)}}, r"values \[1\] too, expected those of core=2"),
    ):
        with pytest.raises(InputError, match=message):
            finetune(store, tmp_path / "run", progress=False, **options)
    assert not (tmp_path / "run").exists()
    with pytest.raises(InputError, match=r"'finetune' learns from labels: use uad_models\.finetune"):
        fit("finetune", store, tmp_path / "run", progress=False)


def test_the_threshold_is_a_half_unless_healthy_brains_ask_for_more(store, pretrained, tmp_path):
    finetune(store, tmp_path, pretrained=pretrained, train=PLAIN, progress=False)
    verdict = fit_verdict(tmp_path, store, healthy_share=0.9, accelerator="cpu", progress=False)
    assert verdict.threshold == 0.5
    usual = fit_verdict(tmp_path, store, accelerator="cpu", progress=False)
    assert usual.threshold >= 0.5
    assert usual.healthy_mean <= HEALTHY_SHARE


def test_command_then_predict(cohort_csv, tmp_path, capsys):
    cohort = ["--cohort", str(cohort_csv), "--cache", str(tmp_path / "cache")]
    short = [part for pair in PLAIN.items() for part in ("--set", "=".join(map(str, pair)))]
    first = ["train", "--method", "denoising_unet", "--out", str(tmp_path / "first"), "--size", "16", "16"]
    narrow = ["--set", "channels=8,16", "--set", "fold=2", "--modalities", "t1", "flair"]
    assert main([*first, *cohort, *short, *narrow]) == 0
    run = tmp_path / "run"
    asked = ["finetune", "--pretrained", str(tmp_path / "first"), *cohort, "--out", str(run), *short, "--scans", "1"]
    assert main([*asked, "--classes", "ball=1", "--set", "encoder=frozen"]) == 0
    out = capsys.readouterr().out
    assert "labels seen: of 1 scan(s), and of 1 to choose the weights" in out
    assert f"loaded {len(weights(tmp_path / 'first')) - 2} tensors" in out
    said = RunConfig.read(run)
    assert (said.spec.modalities, said.spec.size) == (("t1", "flair"), (16, 16))
    assert (said.config["classes"], said.config["encoder"]) == (["ball=1"], "frozen")
    assert load_verdict(run).threshold >= 0.5
    pair = [str(cohort_csv.parent / f"s1_{name}.nii.gz") for name in ("t1", "flair")]
    assert main(["predict", "--run", str(run), *pair, "--out", str(tmp_path / "one")]) == 0
    assert nib.load(tmp_path / "one" / "map.nii.gz").get_fdata().max() <= 1
    assert "learned from the labels of 1 scan(s)" in (tmp_path / "one" / "report.html").read_text()


def test_command_from_scratch_and_refusals(cohort_csv, tmp_path, capsys):
    common = ["finetune", "--cohort", str(cohort_csv), "--cache", str(tmp_path / "cache"), "--size", "16", "16"]
    common += ["--out", str(tmp_path / "run")]
    for wrong, message in (
        (["--scans", "9"], "expected 1 to 2, as many as have a lesion, got 9"),
        (["--set", "base=ae"], "give base with --method"),
        (["--method", "vae"], "cannot be fine-tuned"),
        (["--classes", "core"], "expected 'name=value'"),
    ):
        assert main([*common, *wrong]) == 2
        error = capsys.readouterr().err
        assert message in error.splitlines()[-1]
        assert error.splitlines()[-1].startswith("error: ")
    short = [part for pair in (PLAIN | {"steps": 1}).items() for part in ("--set", "=".join(map(str, pair)))]
    assert main([*common, *short, "--method", "synthetic_unet", "--scans", "2"]) == 0
    assert "carried_over" not in capsys.readouterr().out
    assert RunConfig.read(tmp_path / "run").labels["pretrained"] is None
