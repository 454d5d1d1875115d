import json
import os
from pathlib import Path

import imageio.v3 as imageio
import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import tifffile
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

from uad_data.arrays import ArraySpec, build_arrays
from uad_data.cohort import Cohort
from uad_data.errors import InputError
from uad_data.preparation.recipe import Recipe
from uad_data.preparation.recipes import RECIPES
from uad_models.clinical import scan_prediction
from uad_models.clinical.scan_prediction import predict_cohort, predict_scan, stem
from uad_models.clinical.verdict import fit_verdict
from uad_models.training import fit

REAL_DATA = os.environ.get("UAD_REAL_DATA")
FILES = {"lesions.csv", "map.nii.gz", "mask.nii.gz", "prediction.json", "report.html"}


@pytest.fixture(scope="module")
def run(cohort_csv, tmp_path_factory):
    """Brightness as the method, fine enough for the lesions, with its threshold."""
    folder = tmp_path_factory.mktemp("run")
    store = build_arrays(Cohort.read(cohort_csv), ArraySpec(size=(64, 64)), cache=folder / "cache", progress=False)
    fit("intensity", store, folder / "run", progress=False)
    fit_verdict(folder / "run", store, progress=False)
    return folder / "run"


@pytest.fixture(scope="module")
def raw_csv(cohort_csv, tmp_path_factory):
    """The cohort at 5 mm, which is the size of a head, without masks of the brain."""
    folder = tmp_path_factory.mktemp("raw")
    table = Cohort.read(cohort_csv).table
    for name in (*table["image_flair"], *table["lesion"]):
        image = nib.load(cohort_csv.parent / name)
        nib.save(nib.Nifti1Image(np.asarray(image.dataobj), np.diag((-5.0, 5.0, 5.0, 1.0))), folder / name)
    Cohort(table.assign(brain="", image_t1=""), folder).write(folder / "cohort.csv")
    return folder / "cohort.csv"


@pytest.fixture(scope="module")
def recipe_run(raw_csv, tmp_path_factory):
    """A run on scans that went through a recipe which moves the grid: its voxels are 4 mm."""
    from uad_data.preparation.cohort import prepare_cohort

    folder = tmp_path_factory.mktemp("recipe")
    steps = RECIPES["brats"].to_dict()
    steps["steps"].insert(1, {"step": "resample", "spacing": 4.0})
    prepare_cohort(Cohort.read(raw_csv), Recipe.from_dict(steps), folder / "prepared", progress=False)
    cohort = Cohort.read(folder / "prepared" / "cohort.csv")
    spec = ArraySpec(size=(64, 64), scaling="none")
    store = build_arrays(cohort, spec, cache=folder / "cache", progress=False)
    fit("intensity", store, folder / "run", progress=False)
    fit_verdict(folder / "run", store, progress=False)
    return folder / "run"


def volume(path):
    return np.asarray(nib.load(path).dataobj)


def dice(a, b):
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


def test_a_scan_gets_its_files_in_its_own_grid(run, cohort_csv, tmp_path):
    scan = cohort_csv.parent / "s1_flair.nii.gz"
    made = predict_scan(run, [scan], tmp_path / "out", brain=cohort_csv.parent / "s1_brain.nii.gz", threshold=0.75)
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    image = nib.load(scan)
    for name, kind in (("map", np.float32), ("mask", np.uint8)):
        found = nib.load(tmp_path / "out" / f"{name}.nii.gz")
        assert found.shape == image.shape
        assert found.get_data_dtype() == kind
        for field in ("pixdim", "srow_x", "srow_y", "srow_z", "qform_code", "sform_code", "xyzt_units"):
            assert np.array_equal(found.header[field], image.header[field]), field
    brain = volume(cohort_csv.parent / "s1_brain.nii.gz") > 0
    lesion = volume(cohort_csv.parent / "s1_lesion.nii.gz") > 0
    values, mask = volume(tmp_path / "out" / "map.nii.gz"), volume(tmp_path / "out" / "mask.nii.gz")
    assert np.all(values[~brain] == 0)
    assert np.corrcoef(values[brain], image.get_fdata()[brain])[0, 1] > 0.7
    assert dice(mask > 0, lesion) > 0.6

    table = pd.read_csv(tmp_path / "out" / "lesions.csv")
    assert table["voxels"].sum() == np.count_nonzero(mask)
    assert table["volume_ml"].sum() == pytest.approx(12 * np.count_nonzero(mask) / 1000, abs=1e-3 * len(table))
    assert (made.findings, made.total_ml) == (len(table), pytest.approx(12 * np.count_nonzero(mask) / 1000))
    place = image.affine @ [*np.argwhere(lesion).mean(axis=0), 1]
    assert table.loc[0, ["x_mm", "y_mm", "z_mm"]].tolist() == pytest.approx(place[:3], abs=3)
    assert table.loc[0, "side"] == "right"  # the file's first axis runs to the left
    assert table.loc[0, "peak_score"] == pytest.approx(values[mask > 0].max(), abs=1e-3)


def test_without_a_mask_the_brain_is_found(run, cohort_csv, tmp_path):
    predict_scan(run, [cohort_csv.parent / "s1_flair.nii.gz"], tmp_path / "out")
    brain = volume(cohort_csv.parent / "s1_brain.nii.gz") > 0
    assert (volume(tmp_path / "out" / "map.nii.gz")[brain] != 0).mean() > 0.9


def test_the_runs_threshold_is_used_unless_one_is_given(run, cohort_csv, tmp_path):
    scan = [cohort_csv.parent / "s1_flair.nii.gz"]
    fitted = json.loads((run / "pipeline.json").read_text())["pipeline"]["steps"]
    value = next(step["value"] for step in fitted if "value" in step)
    predict_scan(run, scan, tmp_path / "a")
    predict_scan(run, scan, tmp_path / "b", threshold=value)
    predict_scan(run, scan, tmp_path / "c", threshold=1e9)
    masks = [volume(tmp_path / name / "mask.nii.gz") for name in "abc"]
    assert masks[0].any()
    assert np.array_equal(masks[0], masks[1])
    assert not masks[2].any()
    assert pd.read_csv(tmp_path / "c" / "lesions.csv").empty


def test_without_any_threshold_there_is_a_map_and_no_verdict(store, cohort_csv, tmp_path):
    fit("intensity", store, tmp_path / "run", progress=False)
    out = tmp_path / "out"
    predict_scan(tmp_path / "run", [cohort_csv.parent / "s1_flair.nii.gz"], out, threshold=0.75)
    (out / "notes.txt").touch()
    made = predict_scan(tmp_path / "run", [cohort_csv.parent / "s1_flair.nii.gz"], out)
    assert (made.findings, made.total_ml) == (None, None)
    # A mask of the earlier prediction beside the new map would be taken for its own.
    assert {path.name for path in out.iterdir()} == FILES - {"mask.nii.gz", "lesions.csv"} | {"notes.txt"}
    assert "No threshold" in (out / "report.html").read_text()


def test_slices_that_were_kept_from_training_get_a_map_and_no_mask(cohort_csv, tmp_path):
    spec = ArraySpec(size=(64, 64), slices="centre:3")
    store = build_arrays(Cohort.read(cohort_csv), spec, cache=tmp_path / "cache", progress=False)
    fit("intensity", store, tmp_path / "run", progress=False)
    paths = {name: cohort_csv.parent / f"s1_{name}.nii.gz" for name in ("flair", "brain", "lesion")}
    made = predict_scan(tmp_path / "run", [paths["flair"]], tmp_path / "out", brain=paths["brain"], threshold=0.75)
    brain, lesion = volume(paths["brain"]) > 0, volume(paths["lesion"]) > 0
    known = sorted(set(store.index.loc[store.index["subject"] == "s1", "slice"]))
    assert len(known) == 3
    assert lesion[..., known].any()
    others = np.delete(np.arange(brain.shape[2]), known)
    assert lesion[..., others].any()
    found, mask = (volume(tmp_path / "out" / f"{name}.nii.gz") for name in ("map", "mask"))
    assert dice(mask[..., known] > 0, lesion[..., known]) > 0.6
    assert not mask[..., others].any()
    assert np.all((found[..., others] > 0) == brain[..., others])
    share = 1 - brain[..., known].sum() / brain.sum()
    page = (tmp_path / "out" / "report.html").read_text()
    assert f"{share:.1%} of the brain was not judged" in page
    assert "(centre:3)" in page
    assert page.count(", not judged</text>") == len(others[brain.any((0, 1))[others]])
    assert any(f"Only {1 - share:.0%} of the brain was judged" in text for text in made.warnings)
    assert made.share_judged == pytest.approx(1 - share)
    assert json.loads((tmp_path / "out" / "prediction.json").read_text())["share_judged"] == made.share_judged


def test_what_was_not_judged_is_carried_back_from_a_prepared_grid(recipe_run, raw_csv, tmp_path):
    cohort = Cohort.read(recipe_run.parent / "prepared" / "cohort.csv")
    spec = ArraySpec(size=(64, 64), scaling="none", slices="centre:9")
    store = build_arrays(cohort, spec, cache=tmp_path / "cache", progress=False)
    fit("intensity", store, tmp_path / "run", progress=False)
    made = predict_scan(tmp_path / "run", [raw_csv.parent / "s1_flair.nii.gz"], tmp_path / "out", threshold=0.3)
    brain = cohort.load(cohort.table["subject"].tolist().index("s1")).brain.sum(axis=(1, 2))
    known = store.index.loc[store.index["subject"] == "s1", "slice"]
    assert made.share_judged == pytest.approx(brain[known].sum() / brain.sum(), abs=0.1)
    assert 0.2 < made.share_judged < 0.8
    found, mask = (volume(tmp_path / "out" / f"{name}.nii.gz") for name in ("map", "mask"))
    judged = mask.any((0, 1))
    # The recipe's grid has 4 mm, the scan's 5 mm.
    assert judged.sum() == pytest.approx(9 * 4 / 5, abs=1)
    assert (found[..., ~judged] > 0.3).sum() > 100


def test_a_scan_in_which_no_slice_fits_the_rule_gets_its_map(cohort_csv, tmp_path):
    spec = ArraySpec(size=(64, 64), slices="pixels:300")
    store = build_arrays(Cohort.read(cohort_csv), spec, cache=tmp_path / "cache", progress=False)
    fit("intensity", store, tmp_path / "run", progress=False)
    brain = nib.load(cohort_csv.parent / "s1_brain.nii.gz")
    small = np.asarray(brain.dataobj).copy()
    small[:14] = 0
    nib.save(nib.Nifti1Image(small, brain.affine), tmp_path / "half.nii.gz")
    scan = [cohort_csv.parent / "s1_flair.nii.gz"]
    made = predict_scan(tmp_path / "run", scan, tmp_path / "out", brain=tmp_path / "half.nii.gz", threshold=0.5)
    assert (made.findings, made.share_judged) == (0, 0)
    assert any("Only 0% of the brain was judged" in text for text in made.warnings)
    assert "Nothing was judged" in (tmp_path / "out" / "report.html").read_text()
    assert not volume(tmp_path / "out" / "mask.nii.gz").any()
    assert volume(tmp_path / "out" / "map.nii.gz").any()


@pytest.mark.parametrize("axes", ["LAS", "RAS", "PIR", "SLA"])
def test_a_raw_scan_is_prepared_and_its_mask_carried_back(recipe_run, raw_csv, tmp_path, axes):
    turned = {}
    for name in ("flair", "lesion"):
        image = nib.load(raw_csv.parent / f"s1_{name}.nii.gz")
        turned[name] = image.as_reoriented(ornt_transform(io_orientation(image.affine), axcodes2ornt(axes)))
    nib.save(turned["flair"], tmp_path / "scan.nii.gz")
    made = predict_scan(recipe_run, [tmp_path / "scan.nii.gz"], tmp_path / "out", threshold=0.8)
    mask = nib.load(tmp_path / "out" / "mask.nii.gz")
    assert "".join(nib.aff2axcodes(mask.affine)) == axes
    assert np.array_equal(mask.affine, turned["flair"].affine)
    lesion = np.asarray(turned["lesion"].dataobj) > 0
    assert dice(np.asarray(mask.dataobj) > 0, lesion) > 0.7
    table = pd.read_csv(tmp_path / "out" / "lesions.csv")
    place = mask.affine @ [*np.argwhere(lesion).mean(axis=0), 1]
    assert table.loc[0, ["x_mm", "y_mm", "z_mm"]].tolist() == pytest.approx(place[:3], abs=5)
    assert made.total_ml == pytest.approx(0.125 * np.count_nonzero(mask.dataobj))
    report = (tmp_path / "out" / "report.html").read_text()
    assert "brats (reorient, resample, brain_extraction, scale), by this prediction" in report


def test_a_prepared_scan_is_not_prepared_again(recipe_run, raw_csv, tmp_path, monkeypatch):
    folder = recipe_run.parent / "prepared" / "s1"
    monkeypatch.setattr("uad_data.preparation.one_scan.prepare_raw", None)
    known = predict_scan(recipe_run, [folder / "flair.nii.gz"], tmp_path / "known", threshold=0.8)
    (tmp_path / "alone.nii.gz").write_bytes((folder / "flair.nii.gz").read_bytes())
    told = predict_scan(recipe_run, [tmp_path / "alone.nii.gz"], tmp_path / "told", prepared=True, threshold=0.8)
    assert known.findings == told.findings > 0
    assert nib.load(tmp_path / "known" / "map.nii.gz").shape == nib.load(folder / "flair.nii.gz").shape
    made = predict_cohort(
        recipe_run, Cohort.read(folder.parent / "cohort.csv").select(split="test"), tmp_path / "all", progress=False
    )
    assert [one.folder.name for one in made] == ["s6", "s7"]


def test_volumes_and_several_sequences(cohort_csv, tmp_path):
    spec = ArraySpec(size=(8, 8, 8), modalities=("flair", "t1"))
    store = build_arrays(Cohort.read(cohort_csv), spec, cache=tmp_path / "cache", progress=False)
    train = {"steps": 2, "batch_size": 2}
    fit("ae", store, tmp_path / "run", config={"channels": (8,)}, train=train, progress=False)
    verdict = fit_verdict(tmp_path / "run", store, progress=False)
    assert (verdict.items, verdict.people) == (1, 1)
    pair = [cohort_csv.parent / f"s1_{name}.nii.gz" for name in ("flair", "t1")]
    predict_scan(tmp_path / "run", pair, tmp_path / "out")
    assert nib.load(tmp_path / "out" / "mask.nii.gz").shape == nib.load(pair[0]).shape
    assert "flair: s1_flair.nii.gz, t1: s1_t1.nii.gz" in (tmp_path / "out" / "report.html").read_text()
    with pytest.raises(InputError, match=r"needs 2 sequence\(s\) of a scan, in this order: flair, t1; found 1"):
        predict_scan(tmp_path / "run", pair[:1], tmp_path / "out")


def test_a_cohort_gets_a_folder_per_scan_and_resumes(run, cohort_csv, tmp_path, monkeypatch):
    cohort = Cohort.read(cohort_csv).select(split="test")
    out = tmp_path / "out"
    first = predict_cohort(run, cohort, out, progress=False)
    assert sorted(path.name for path in out.iterdir()) == ["predictions.csv", "s6", "s7"]
    assert {path.name for path in (out / "s6").iterdir()} == FILES
    table = pd.read_csv(out / "predictions.csv")
    assert table["findings"].tolist() == [one.findings for one in first]
    assert table["subject"].tolist() == ["s6", "s7"]

    calls = []
    real = scan_prediction.open_scan
    monkeypatch.setattr(scan_prediction, "open_scan", lambda files, *a, **k: calls.append(1) or real(files, *a, **k))
    assert predict_cohort(run, cohort, out, progress=False) == first
    assert calls == []
    (out / "s7" / "prediction.json").unlink()
    assert predict_cohort(run, cohort, out, progress=False) == first
    assert len(calls) == 1
    predict_cohort(run, cohort, out, threshold=0.9, progress=False)
    assert len(calls) == 3


def test_one_bad_scan_does_not_stop_the_rest(run, cohort_csv, tmp_path):
    table = Cohort.read(cohort_csv).table.assign(
        **{name: [str(cohort_csv.parent / cell) for cell in Cohort.read(cohort_csv).table[name]]
           for name in ("image_flair", "image_t1", "brain", "lesion")}
    )  # fmt: skip
    bad = tmp_path / "cut.nii.gz"
    bad.write_bytes(Path(table.loc[6, "image_flair"]).read_bytes()[:500])
    table.loc[6, "image_flair"] = str(bad)
    cohort = Cohort(table, tmp_path).select(split="test")
    with pytest.raises(InputError, match=r"1 of 2 scans could not be used, the others are done.*cut\.nii\.gz"):
        predict_cohort(run, cohort, tmp_path / "out", progress=False)
    assert {path.name for path in (tmp_path / "out" / "s7").iterdir()} == FILES
    listed = pd.read_csv(tmp_path / "out" / "predictions.csv")
    assert "cut.nii.gz" in listed.loc[0, "error"]
    assert np.isnan(listed.loc[0, "findings"])


def test_pictures_give_tiffs_without_millimetres(run, tmp_path):
    picture = np.zeros((60, 52), np.uint8)
    picture[8:52, 10:42] = 100 + np.arange(32)
    picture[16:26, 14:24] = 250
    imageio.imwrite(tmp_path / "head.png", picture)
    table = pd.DataFrame([{"subject": "p", "pathology": "", "session": "2", "image_flair": "head.png"}])
    (made,) = predict_cohort(run, Cohort(table, tmp_path), tmp_path / "out", threshold=0.75, progress=False)
    assert made.folder.name == "p_2"
    assert {path.name for path in made.folder.iterdir()} == {name.replace("nii.gz", "tif") for name in FILES}
    values, mask = tifffile.imread(made.folder / "map.tif"), tifffile.imread(made.folder / "mask.tif")
    assert values.shape == mask.shape == picture.shape
    assert values[16:26, 14:24].mean() > 1.3 * values[28:48, 14:36].mean() > 0
    truth = picture == 250
    assert dice(mask > 0, truth) > 0.7
    (row,) = pd.read_csv(made.folder / "lesions.csv").to_dict(orient="records")
    assert (row["side"], row["voxels"]) == ("right", np.count_nonzero(mask))
    assert np.isnan([row[name] for name in ("volume_ml", "x_mm", "y_mm", "z_mm", "midline_mm")]).all()
    assert (made.findings, made.total_ml) == (1, None)
    assert "pictures, which carry no orientation" in (made.folder / "report.html").read_text()


@pytest.mark.parametrize(
    ("source", "name"),
    [("a/scan.nii.gz", "scan"), ("scan.v2.nii", "scan.v2"), ("case/case_*[0-9].tif#1", "case_0-9"), ("*.png", "scan")],
)
def test_scans_are_named_after_their_file(source, name):
    assert stem(source) == name


def test_names_that_would_share_a_folder_are_refused(run, cohort_csv, tmp_path):
    table = Cohort.read(cohort_csv).table.head(2).assign(subject=["a/b", "a-b"], split="")
    with pytest.raises(InputError, match="two scans would be written to the folder 'a-b'"):
        predict_cohort(run, Cohort(table, cohort_csv.parent), tmp_path / "out", progress=False)


def test_what_cannot_be_written_is_told(run, cohort_csv, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        predict_scan(run, [cohort_csv.parent / "s1_flair.nii.gz"], tmp_path / "file" / "out")


@pytest.mark.skipif(not REAL_DATA, reason="UAD_REAL_DATA is not set")
def test_a_real_scan_gets_a_map_in_its_own_grid(cohort_csv, tmp_path):
    (scan,) = Path(REAL_DATA or "").glob("ms/mni/patient07/FLAIR*.nii.gz")
    spec = ArraySpec(size=(128, 128))
    store = build_arrays(Cohort.read(cohort_csv), spec, cache=tmp_path / "cache", progress=False)
    fit("intensity", store, tmp_path / "run", progress=False)
    predict_scan(tmp_path / "run", [scan], tmp_path / "out", threshold=0.9)
    image, found = nib.load(scan), nib.load(tmp_path / "out" / "map.nii.gz")
    assert found.shape == image.shape
    assert np.array_equal(found.affine, image.affine)
    values, brain = found.get_fdata(), image.get_fdata() > 0
    assert brain.sum() < 1.2 * np.count_nonzero(values) < 1.5 * brain.sum()
    assert np.corrcoef(values[brain], image.get_fdata()[brain])[0, 1] > 0.85
