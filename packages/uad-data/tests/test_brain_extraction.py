"""Brain extraction, on made heads, made programs and real heads."""

import os
import stat
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from uad_data.brain_extraction import EXTRACTORS, ct, extract_brain, template
from uad_data.errors import InputError
from uad_data.phantom.anatomy import build_anatomy, grid_affine
from uad_data.readers import read_labels, read_volume

# Levels of grey matter, white matter, fluid, bone, scalp, air.
T1 = (0.7, 1.0, 0.25, 0.08, 1.1, 0.0)
FLAIR = (1.0, 0.8, 0.15, 0.1, 0.9, 0.0)
CT = (38.0, 30.0, 8.0, 900.0, 20.0, -1000.0)


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2 * (one & other).sum() / (one.sum() + other.sum())


def make_head(levels: tuple[float, ...], *, spacing: float = 3.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Phantom brain in fluid, bone and scalp, with a neck: volume (d, h, w), brain, affine."""
    anatomy = build_anatomy(np.random.default_rng(1), spacing=spacing)
    room = [(14, 6), (8, 8), (8, 8)]
    grey, white, fluid, brain = (
        np.pad(x.transpose(2, 1, 0), room).astype(np.float32)
        for x in (anatomy.grey, anatomy.white, anatomy.fluid, anatomy.brain)
    )
    brain = brain > 0
    affine = grid_affine(spacing)
    affine[:3, 3] -= spacing * np.array([8, 8, 14])
    beyond = ndimage.distance_transform_edt(~ndimage.binary_closing(brain, iterations=4)) * spacing
    volume = np.full(brain.shape, levels[5], np.float32)
    h, w = (np.arange(n, dtype=float) for n in brain.shape[1:])
    _, mid_h, mid_w = ndimage.center_of_mass(brain)
    neck = np.hypot(h[:, None] - mid_h, w - mid_w) * spacing < 55
    bottom = np.flatnonzero(brain.any((1, 2)))[0]
    volume[: bottom + 4] = np.where(neck, levels[4] * 0.7, levels[5])
    for reach, level in ((15.0, levels[4]), (9.0, levels[3]), (3.0, levels[2])):
        volume[beyond < reach] = level
    tissue = levels[0] * grey + levels[1] * white + levels[2] * fluid
    volume[brain] = tissue[brain]
    noise = np.random.default_rng(0).normal(0, 0.03, volume.shape) * (levels[1] - levels[2])
    return (volume + noise).astype(np.float32), brain, affine


@pytest.fixture
def coarse(monkeypatch):
    """Work on voxels of 4 mm, which takes a third of the time."""
    for module in (template, ct):
        monkeypatch.setattr(module, "WORK_MM", 4.0)


def test_template_on_a_made_head(coarse):
    volume, brain, affine = make_head(T1)
    assert dice(extract_brain(volume, affine), brain) > 0.9


def test_template_on_thick_oblique_slices_of_half_a_head(coarse):
    volume, brain, affine = make_head(FLAIR)
    # The field of view ends above the neck and cuts the top off; the table is turned.
    kept = slice(16, -14, 2)
    turn = np.eye(4)
    turn[1:3, 1:3] = [[np.cos(0.2), -np.sin(0.2)], [np.sin(0.2), np.cos(0.2)]]
    thick = turn @ affine @ np.diag([1, 1, 2, 1.0])
    found = extract_brain(volume[kept], thick, extractor="template")
    assert found.shape == volume[kept].shape
    assert dice(found, brain[kept]) > 0.85


def test_ct_and_stripped(coarse):
    volume, brain, affine = make_head(CT)
    assert dice(extract_brain(volume, affine, modality="ct"), brain) > 0.9
    stripped = np.where(brain, volume, 0).astype(np.float32)
    assert dice(extract_brain(stripped, affine, modality="ct"), brain) > 0.97
    assert dice(extract_brain(np.where(brain, 5, 0), affine, modality="flair"), brain) > 0.97


@pytest.mark.parametrize(
    ("volume", "options", "message"),
    [
        (np.zeros((9, 9, 9)), {}, "the same value everywhere"),
        (np.full((9, 9, 9), np.nan), {}, "NaN"),
        (np.zeros((9, 9)), {}, "shape"),
        (np.arange(729.0).reshape(9, 9, 9), {"extractor": "magic"}, "one of auto, template, ct"),
        (np.random.default_rng(0).random((60, 60, 60)), {"extractor": "template"}, "with its skull"),
        (np.random.default_rng(0).random((9, 9, 9)), {"extractor": "ct"}, "rescale slope"),
    ],
)
def test_no_head(volume, options, message):
    with pytest.raises(InputError, match=message):
        extract_brain(volume, np.diag([3.0, 3, 3, 1]), **options)


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Put a made program on PATH, which is otherwise empty."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def write(name: str, body: str) -> None:
        program = folder / name
        program.write_text(f"#!{sys.executable}\nimport sys\nimport nibabel as nib\nargs = sys.argv[1:]\n{body}")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)

    return write


MASK = """
image = nib.load(args[IN])
mask = (image.get_fdata() > 0.5).astype("uint8")
nib.save(nib.Nifti1Image(mask, image.affine), args[OUT].replace(*NAME))
print("noise")
"""


@pytest.mark.parametrize(
    ("extractor", "program", "places"),
    [
        ("hd-bet", "hd-bet", ("1", "3", "('.nii.gz', '_bet.nii.gz')")),
        ("synthstrip", "mri_synthstrip", ("1", "3", "('', '')")),
        ("bet", "bet", ("0", "1", "('.nii.gz', '_mask.nii.gz')")),
    ],
)
def test_programs(install, tmp_path, capfd, extractor, program, places):
    volume = np.random.default_rng(0).random((6, 7, 8), np.float32)
    with pytest.raises(InputError, match=rf"{program}.* on PATH, found none; .*install"):
        extract_brain(volume, np.diag([2.0, 2, 3, 1]), extractor=extractor)
    install(program, MASK.replace("IN", places[0]).replace("OUT", places[1]).replace("NAME", places[2]))
    found = extract_brain(volume, np.diag([2.0, 2, 3, 1]), extractor=extractor)
    np.testing.assert_array_equal(found, volume > 0.5)
    assert capfd.readouterr().out == ""
    install(program, "sys.exit('out of memory')")
    with pytest.raises(InputError, match="exit status 1; it said: out of memory"):
        extract_brain(volume, np.diag([2.0, 2, 3, 1]), extractor=extractor)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin"]
    assert extractor in EXTRACTORS


@pytest.mark.skipif("UAD_REAL_DATA" not in os.environ, reason="UAD_REAL_DATA is not set")
@pytest.mark.parametrize("person", ["IXI132", "IXI383", "IXI632"])
def test_real_heads(person):
    real = Path(os.environ["UAD_REAL_DATA"], "ixi")
    (scan,), (labels,) = real.glob(f"t1/{person}*"), real.glob(f"dlmuse/{person}*")
    volume, affine = read_volume(scan)
    assert dice(extract_brain(volume, affine), read_labels(labels) > 0) > 0.94


@pytest.mark.skipif("UAD_REAL_DATA" not in os.environ, reason="UAD_REAL_DATA is not set")
def test_real_ct():
    real = Path(os.environ["UAD_REAL_DATA"], "ct")
    volume, affine = read_volume(real / "scct.nii")
    stripped, _ = read_volume(real / "scct_stripped.nii")
    hu = np.where(volume < 900, volume - 1000, np.where(volume <= 3100, (volume - 900) / 11 - 100, volume - 3000))
    # The stripped partner keeps some of the bone.
    assert dice(extract_brain(hu, affine, modality="ct"), (stripped > 0) & (hu < 100)) > 0.95
