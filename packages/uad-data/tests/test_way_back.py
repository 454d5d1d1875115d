"""Drawn on the raw scan, carried into prepared space and back."""

import itertools

import nibabel as nib
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from uad_data.errors import InputError
from uad_data.preparation.one_scan import prepare_raw
from uad_data.preparation.recipe import Recipe
from uad_data.preparation.resampling import centred_grid
from uad_data.preparation.way_back import WayBack
from uad_data.readers import read_labels, write_like

ORIENTATIONS = [
    "".join(pair[0] if up else pair[1] for pair, up in zip(axes, ups, strict=True))
    for axes in itertools.permutations(("RL", "AP", "SI"))
    for ups in itertools.product((True, False), repeat=3)
]


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


def tilted(degrees: tuple[float, float, float], move: tuple[float, float, float]) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    matrix[:3, 3] = move
    return matrix


def ball(shape: tuple[int, ...], spacing: np.ndarray, ml: float, centre: np.ndarray) -> np.ndarray:
    radius = (3 * ml * 1000 / (4 * np.pi)) ** (1 / 3)
    distance = (np.indices(shape) - centre[:, None, None, None]) * spacing[:, None, None, None]
    return np.square(distance).sum(0) <= radius**2


@pytest.mark.parametrize("spacing", [(1, 1, 1), (3, 1, 1), (5, 0.9, 0.9), (2, 2, 2), (6.5, 0.45, 0.45)])
def test_a_lesion_of_a_millilitre_survives_a_rigid_movement_there_and_back(spacing) -> None:
    spacing = np.array(spacing, float)
    shape = tuple(int(n) for n in np.round(np.array([110, 120, 110]) / spacing))
    _, affine = centred_grid(shape, directions=np.diag(spacing[::-1]), centre=np.zeros(3))
    prepared_shape, prepared_affine = centred_grid((120, 140, 130), directions=np.eye(3), centre=np.zeros(3))
    way = WayBack(shape, affine, prepared_shape, prepared_affine, tilted((8, -5, 12), (3.3, -2.2, 5.1)))
    lesion = ball(shape, spacing, 1.05, np.array(shape) / 2 + 3.3)
    assert lesion.sum() * spacing.prod() / 1000 >= 1
    assert dice(way.to_native(way.to_prepared(lesion)), lesion) >= 0.95


@pytest.mark.parametrize("axes", ORIENTATIONS)
def test_every_orientation_comes_back_to_its_own_file_grid_and_header(tmp_path, axes) -> None:
    rng = np.random.default_rng(3)
    spacing = np.array([4.0, 3.0, 3.5])
    ras_shape = (28, 34, 30)  # along R, A, S
    head = rng.uniform(1, 2, ras_shape).astype(np.float32)
    lesion = ball(ras_shape, spacing, 4.0, np.array([12.0, 20.0, 16.0]))
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = (-55, -50, -48)
    ornt = nib.orientations.ornt_transform(
        nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(tuple(axes))
    )
    raw = {}
    for name, array in (("flair", head), ("lesion", lesion.astype(np.uint8)), ("brain", np.ones(ras_shape, np.uint8))):
        image = nib.Nifti1Image(array, affine).as_reoriented(ornt)
        image.header["descrip"] = b"as it came off the scanner"
        raw[name] = str(tmp_path / f"{name}.nii.gz")
        nib.save(image, raw[name])
    recipe = Recipe.from_dict(
        {
            "name": "t",
            "steps": [
                {"step": "reorient"},
                {"step": "resample", "spacing": 2},
                {"step": "crop", "shape": [60, 60, 60]},
            ],
        }
    )

    prepared = prepare_raw(
        {"flair": raw["flair"]}, recipe, brain=raw["brain"], lesion=raw["lesion"], subject="a", pathology="tumour"
    )
    back = prepared.way_back.to_native(prepared.scan.lesion)
    write_like(tmp_path / "back.nii.gz", back, raw["flair"])

    assert prepared.scan.brain.shape == (60, 60, 60)
    written, original = nib.load(tmp_path / "back.nii.gz"), nib.load(raw["flair"])
    assert dice(np.asarray(written.dataobj) > 0, np.asarray(nib.load(raw["lesion"]).dataobj) > 0) >= 0.95
    assert nib.aff2axcodes(written.affine) == tuple(axes)
    for key in (
        "dim",
        "pixdim",
        "qform_code",
        "sform_code",
        "srow_x",
        "quatern_b",
        "qoffset_x",
        "descrip",
        "xyzt_units",
    ):
        assert np.array_equal(written.header[key], original.header[key]), key
    assert np.array_equal(back, read_labels(tmp_path / "back.nii.gz"))


def test_a_map_keeps_its_values_and_a_mask_its_type() -> None:
    shape, affine = centred_grid((12, 14, 16), directions=np.eye(3), centre=np.zeros(3))
    way = WayBack(shape, affine, *centred_grid((20, 22, 24), directions=np.eye(3), centre=np.zeros(3)), np.eye(4))
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    assert np.array_equal(way.to_native(way.to_prepared(values)), values)
    classes = np.random.default_rng(0).integers(0, 4, shape).astype(np.uint8)
    back = way.to_native(way.to_prepared(classes))
    assert back.dtype == np.uint8
    assert np.array_equal(back, classes)
    assert way.to_native(way.to_prepared(classes > 1)).dtype == np.bool_


def test_it_is_read_from_its_record_and_refuses_what_does_not_fit() -> None:
    shape, affine = centred_grid((4, 5, 6), directions=np.eye(3), centre=np.zeros(3))
    way = WayBack(shape, affine, shape, affine, tilted((1, 2, 3), (4, 5, 6)))
    again = WayBack.from_dict(way.to_dict())
    assert np.array_equal(again.prepared_to_native, way.prepared_to_native)
    assert again.native_shape == shape
    with pytest.raises(InputError, match=r"prepared scan's shape \(4, 5, 6\), found \(4, 5, 7\)"):
        way.to_native(np.zeros((4, 5, 7)))
    with pytest.raises(InputError, match="prepare the scan again"):
        WayBack.from_dict({**way.to_dict(), "prepared_to_native": np.zeros((4, 4)).tolist()})
