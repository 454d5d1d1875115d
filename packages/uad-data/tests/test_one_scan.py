"""One person through a recipe: what each step does, and scans that cannot be."""

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from uad_data.errors import InputError
from uad_data.preparation.one_scan import prepare_raw
from uad_data.preparation.recipe import Recipe
from uad_data.preparation.templates import load_template


def recipe(*steps: dict) -> Recipe:
    return Recipe.from_dict({"name": "t", "steps": list(steps)})


@pytest.fixture(scope="module")
def template():
    return load_template("mni152", spacing=4.0)


def save(path, volume, affine) -> str:
    nib.save(nib.Nifti1Image(np.asarray(volume).transpose(2, 1, 0), affine), path)
    return str(path)


def person(tmp_path, template, *, degrees=0.0, move=(0, 0, 0), name="t1"):
    """Write the template's brain, turned and moved in the scanner; return the file and where it went."""
    angle = np.deg2rad(degrees)
    world = np.eye(4)
    world[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    world[:3, 3] = move
    affine = world @ template.affine
    return save(tmp_path / f"{name}.nii.gz", template.image, affine), world


def test_a_turned_brain_comes_to_lie_on_the_template(tmp_path, template) -> None:
    source, world = person(tmp_path, template, degrees=20, move=(12, -8, 5))
    steps = (
        {"step": "reorient"},
        {"step": "brain_extraction", "extractor": "stripped"},
        {"step": "register", "spacing": 4},
        {"step": "scale"},
    )
    prepared = prepare_raw({"t1": source}, recipe(*steps), subject="a", pathology="healthy")
    corners = np.array([[x, y, z, 1.0] for x in (-60, 60) for y in (-90, 60) for z in (-50, 60)]).T
    apart = np.linalg.norm((prepared.way_back.prepared_to_native - world) @ corners, axis=0)
    assert apart.max() < 2.0  # half a voxel
    assert prepared.record["quality"]["dice_to_template"] > 0.92
    assert prepared.record["template"] == "mni152"
    assert [s["step"] for s in prepared.record["steps"]][2] == "register"
    assert 0.95 < np.percentile(prepared.scan.image[0][prepared.scan.brain], 99) < 1.05
    assert not prepared.scan.image[0][~prepared.scan.brain].any()
    assert prepared.scan.lesion is not None
    assert not prepared.scan.lesion.any()


def test_a_template_box_is_asked_for_and_cropped_by_whole_voxels(tmp_path, template, monkeypatch) -> None:
    monkeypatch.setattr("uad_data.preparation.steps.register", lambda *_, **__: np.eye(4))  # it lies there already
    source, _ = person(tmp_path, template)
    register = {"step": "register", "spacing": 4, "shape": [42, 50, 42]}
    both = recipe(
        {"step": "brain_extraction", "extractor": "stripped"}, register, {"step": "crop", "shape": [18, 48, 40]}
    )
    prepared = prepare_raw({"t1": source}, both, subject="a")
    whole = prepare_raw(
        {"t1": source}, recipe({"step": "brain_extraction", "extractor": "stripped"}, register), subject="a"
    )
    assert whole.scan.brain.shape == (42, 50, 42)
    assert np.array_equal(prepared.scan.image[0], whole.scan.image[0][12:30, 1:49, 1:41])


def test_the_bias_field_is_taken_out_of_every_sequence(tmp_path, template) -> None:
    shading = np.exp(np.linspace(-0.5, 0.5, template.image.shape[1]))[None, :, None]
    shaded = (template.image * shading + 0.001).astype(np.float32)
    sources = {name: save(tmp_path / f"{name}.nii.gz", shaded, template.affine) for name in ("t1", "flair")}
    brain = save(tmp_path / "brain.nii.gz", template.brain.astype(np.uint8), template.affine)
    bare = prepare_raw(sources, recipe({"step": "reorient"}), brain=brain, subject="a").scan.image
    even = prepare_raw(
        sources, recipe({"step": "bias_field", "iterations": 15, "levels": 2, "work_mm": 8}), brain=brain, subject="a"
    ).scan.image
    inside = ndimage.binary_erosion(template.brain, iterations=2)
    y = np.broadcast_to(np.arange(shaded.shape[1])[None, :, None], shaded.shape)[inside]
    for channel in range(2):
        before, after = (
            np.polyfit(y, np.log(image[channel][inside] / template.image[inside]), 1)[0] for image in (bare, even)
        )
        assert abs(after) < 0.4 * abs(before)


def test_sequences_on_other_grids_are_moved_onto_the_first(tmp_path, template) -> None:
    first, _ = person(tmp_path, template, name="flair")
    second, _ = person(tmp_path, template, degrees=6, move=(5, 3, 0), name="t1")
    brain = save(tmp_path / "brain.nii.gz", template.brain.astype(np.uint8), template.affine)
    prepared = prepare_raw({"flair": first, "t1": second}, recipe({"step": "coregister"}), brain=brain, subject="a")
    flair, t1 = prepared.scan.image
    assert np.corrcoef(flair[template.brain], t1[template.brain])[0, 1] > 0.97
    header_only = prepare_raw({"flair": first, "t1": second}, recipe({"step": "reorient"}), brain=brain, subject="a")
    flair, t1 = header_only.scan.image
    assert np.corrcoef(flair[template.brain], t1[template.brain])[0, 1] < 0.9


def test_ct_is_windowed_and_padded_with_air(tmp_path) -> None:
    volume = np.full((30, 40, 40), -1000.0, np.float32)
    volume[5:25, 8:32, 8:32] = 40
    volume[10, 20, 20] = 500
    brain = (volume > -500).astype(np.uint8)
    affine = np.diag([4.0, 4.0, 4.0, 1.0])
    source, mask = save(tmp_path / "ct.nii.gz", volume, affine), save(tmp_path / "brain.nii.gz", brain, affine)
    steps = ({"step": "crop", "shape": [34, 44, 44]}, {"step": "bias_field"}, {"step": "scale", "rule": "window:0:80"})
    scan = prepare_raw({"ct": source}, recipe(*steps), brain=mask, subject="a").scan
    assert scan.image.max() == 1
    assert np.isclose(scan.image[0, 9, 22, 22], 0.5)
    unscaled = prepare_raw({"ct": source}, recipe(*steps[:1]), brain=mask, subject="a").scan
    assert unscaled.image[0, 0, 0, 0] == -1000


HEAD = {"shape": (20, 30, 30), "spacing": (6.0, 6.0, 6.0)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": (1, 30, 30)}, r"several slices, found the shape \(1, 30, 30\)"),
        ({"spacing": (40.0, 6.0, 6.0)}, "voxels of 0.1 to 12 mm, found 40 × 6 × 6 mm"),
        ({"spacing": (0.006, 0.006, 0.006)}, "voxels of 0.1 to 12 mm"),
        ({"spacing": (1.0, 1.0, 1.0)}, "a box that can hold a head, found 20 × 30 × 30 mm"),
        ({"offset": -1000.0}, "like Hounsfield units; is it CT"),
        ({"modality": "ct"}, "Hounsfield units with air near -1000"),
        ({"shear": 0.4}, "axes at right angles"),
        ({"shape": (20, 30, 30, 2)}, "expected three dimensions, found 4"),
        ({"empty": True}, "constant|same value|different"),
        ({"cut": True}, "cannot be read"),
    ],
)
def test_scans_that_cannot_be_are_refused_by_name(tmp_path, change, message) -> None:
    asked = {**HEAD, "modality": "t1", "offset": 0.0, "shear": 0.0, "empty": False, "cut": False, **change}
    shape = asked["shape"][:3][::-1] + asked["shape"][3:]
    voxels = np.random.default_rng(0).uniform(0, 100, shape).astype(np.float32) + asked["offset"]
    affine = np.diag([*asked["spacing"][::-1], 1.0])
    affine[0, 1] = asked["shear"] * affine[1, 1]
    path = tmp_path / "raw.nii.gz"
    nib.save(nib.Nifti1Image(voxels * (not asked["empty"]), affine), path)
    if asked["cut"]:
        path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(InputError, match=message) as caught:
        prepare_raw({asked["modality"]: str(path)}, recipe({"step": "reorient"}), subject="a")
    assert "raw.nii.gz" in str(caught.value)


def test_an_oblique_scan_is_prepared(tmp_path, template) -> None:
    source, _world = person(tmp_path, template, degrees=35)
    steps = (
        {"step": "reorient"},
        {"step": "resample", "spacing": 5},
        {"step": "brain_extraction", "extractor": "stripped"},
    )
    prepared = prepare_raw({"t1": source}, recipe(*steps), subject="a")
    assert max(prepared.record["steps"][0]["found"]["tilt_degrees"]) == pytest.approx(35, abs=0.1)
    assert prepared.scan.spacing == pytest.approx((5, 5, 5))
    np.testing.assert_allclose(prepared.way_back.prepared_to_native, np.eye(4))


def test_a_step_that_fails_is_named_with_the_file(tmp_path, template) -> None:
    source, _ = person(tmp_path, template)
    with pytest.raises(InputError, match=r"t1\.nii\.gz: step register: no brain mask"):
        prepare_raw({"t1": source}, recipe({"step": "register"}), subject="a")
    with pytest.raises(InputError, match=r"step brain_extraction: .*found 'ct'"):
        prepare_raw({"t1": source}, recipe({"step": "brain_extraction", "on": "ct"}), subject="a")
