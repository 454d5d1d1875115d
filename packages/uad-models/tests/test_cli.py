import nibabel as nib
import pytest

from uad_data.cohort import Cohort
from uad_data.errors import InputError
from uad_models import cli
from uad_models.cli import main
from uad_models.clinical.verdict import load_verdict
from uad_models.registry import list_methods
from uad_models.run_folder import RunConfig

QUICK = ["--size", "16", "16", "--set", "channels=8,8", "--set", "steps=2", "--set", "batch_size=4"]


def train(cohort_csv, run, *options, method="ae"):
    return main(["train", "--method", method, "--cohort", str(cohort_csv), "--out", str(run), *options])


def test_list_names_every_method_with_a_line_about_it(capsys):
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list_methods()
    assert all("Presets: quick" in line and len(line) < 160 for line in lines)
    assert "(nothing to train)" in next(line for line in lines if line.startswith("intensity"))


def test_train_then_predict(cohort_csv, tmp_path, capsys):
    run = tmp_path / "run"
    options = [*QUICK, "--seed", "4", "--modalities", "t1", "flair", "--set", "slices=fraction:0.5"]
    assert train(cohort_csv, run, *options, "--cache", str(tmp_path / "cache")) == 0
    config = RunConfig.read(run)
    assert (config.seed, config.config["channels"], config.train["steps"]) == (4, [8, 8], 2)
    assert config.spec.modalities == ("t1", "flair")
    assert config.spec.slices == "fraction:0.5"
    assert len(list((tmp_path / "cache").iterdir())) == 1

    assert "threshold: " in capsys.readouterr().out
    assert load_verdict(run).people == 2
    pair = [str(cohort_csv.parent / f"s1_{name}.nii.gz") for name in ("t1", "flair")]
    assert main(["predict", "--run", str(run), *pair, "--out", str(tmp_path / "one")]) == 0
    assert capsys.readouterr().out.startswith(f"{tmp_path / 'one' / 'report.html'}: ")
    assert nib.load(tmp_path / "one" / "map.nii.gz").shape == nib.load(pair[0]).shape

    cohort = ["--cohort", str(cohort_csv), "--split", "test"]
    assert main(["predict", "--run", str(run), *cohort, "--out", str(tmp_path / "all"), "--threshold", "1e9"]) == 0
    assert {path.name for path in (tmp_path / "all").iterdir()} == {"predictions.csv", "s6", "s7"}
    assert ": 0 findings, 0.0 ml" in capsys.readouterr().out.splitlines()[-1]


def test_training_again_fits_a_missing_threshold(cohort_csv, tmp_path):
    run = tmp_path / "run"
    assert train(cohort_csv, run, *QUICK, "--cache", str(tmp_path / "cache")) == 0
    before = (run / "pipeline.json").read_bytes()
    (run / "pipeline.json").unlink()
    assert train(cohort_csv, run, *QUICK, "--cache", str(tmp_path / "cache")) == 0
    assert (run / "pipeline.json").read_bytes() == before


def test_without_healthy_people_to_fit_it_on_no_threshold_is_fitted(cohort_csv, tmp_path, capsys):
    cohort = Cohort.read(cohort_csv)
    rest = Cohort(cohort.table[cohort.table["split"] == "test"], cohort_csv.parent)
    rest.write(tmp_path / "cohort.csv")
    run = tmp_path / "run"
    assert train(tmp_path / "cohort.csv", run, "--size", "16", "16", method="intensity") == 0
    assert "no threshold was fitted" in capsys.readouterr().out
    assert not (run / "pipeline.json").exists()
    scan = str(cohort_csv.parent / "s1_flair.nii.gz")
    assert main(["predict", "--run", str(run), scan, "--out", str(tmp_path / "out")]) == 0
    assert "no threshold, map only" in capsys.readouterr().out


def test_the_cache_stands_beside_the_cohort(cohort_csv, tmp_path):
    assert train(cohort_csv, tmp_path / "run", "--size", "16", "16", method="intensity") == 0
    assert len(list((cohort_csv.parent / ".uad-cache").glob("*/image.npy"))) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--set", "latent_dm=3"], "unknown key 'latent_dm': did you mean latent_dim"),
        (["--set", "steps=many"], "steps: expected a whole number, got 'many'"),
        (["--set", "size=3"], "give size with --size"),
        (["--set", "latent=thick"], "latent: expected one of dense, spatial"),
        (["--preset", "fast"], "unknown preset of method 'ae' 'fast'"),
        (["--modalities", "flairr"], "flairr"),
        (["--size", "16"], "size: expected 2 or 3"),
        (["--precision", "33"], "precision: unknown value '33'"),
        (["--accelerator", "gpuu"], "accelerator: unknown value 'gpuu'"),
        (["--healthy-share", "5"], "healthy_share: expected above 0 and below 1"),
    ],
)
def test_bad_input_is_one_line_and_status_2(cohort_csv, tmp_path, capsys, options, message):
    assert train(cohort_csv, tmp_path / "run", *options) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_an_unknown_method_is_told_the_nearest(cohort_csv, tmp_path, capsys):
    assert train(cohort_csv, tmp_path / "run", method="vea") == 2
    assert "unknown method 'vea': did you mean vae" in capsys.readouterr().err


def test_predict_needs_scans_or_a_cohort_but_not_both(tmp_path, capsys):
    for options in ([], ["scan.nii.gz", "--cohort", "cohort.csv"]):
        assert main(["predict", "--run", str(tmp_path), "--out", str(tmp_path), *options]) == 2
        assert "give either the files of one scan or --cohort CSV" in capsys.readouterr().err


def test_predict_with_an_empty_run_folder_is_refused(tmp_path, capsys):
    (tmp_path / "run").mkdir()
    assert main(["predict", "--run", str(tmp_path / "run"), "scan.nii.gz", "--out", str(tmp_path)]) == 2
    assert "run is empty: expected what 'uad-models train" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("raised", "status", "message"),
    [
        (KeyboardInterrupt(), 130, "interrupted: resume with the same command"),
        (InputError("no"), 2, "error: no\n"),
        (PermissionError(13, "Permission denied", "/x"), 2, "error: [Errno 13] Permission denied: '/x'\n"),
    ],
)
def test_exit_status(cohort_csv, tmp_path, capsys, monkeypatch, raised, status, message):
    def stop(*_, **__):
        raise raised

    monkeypatch.setattr(cli, "fit", stop)
    assert train(cohort_csv, tmp_path / "run", *QUICK) == status
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("command", [[], ["train"], ["predict"]])
def test_help_has_an_example(command, capsys):
    with pytest.raises(SystemExit) as caught:
        main([*command, "--help"])
    assert caught.value.code == 0
    out = capsys.readouterr().out
    assert "Examples:" in out
    assert "uad-models" in out
