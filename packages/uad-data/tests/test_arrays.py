import json
import os
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

import uad_data.arrays
from uad_data.arrays import ARRAY_FORMAT, ArraySpec, ArrayStore, build_arrays, prepare_scan
from uad_data.cohort import Cohort
from uad_data.errors import InputError

SHAPE = (30, 36, 8)  # w, h, d as the files have it
SPEC = ArraySpec(size=(24, 24), modalities=("flair",), slices="fraction:0.25")


def write_cohort(folder: Path) -> Cohort:
    """Four people: a lesion, none, not annotated, and healthy by name; with names that a careless reader changes."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    w, h, d = np.meshgrid(*[np.arange(n) - (n - 1) / 2 for n in SHAPE], indexing="ij")
    rows = []
    for subject, split, pathology in [
        ("007", "train", "tumour"),
        ("NA", "train", "none"),
        ("c", "val", "stroke"),
        ("d", "test", "healthy"),
    ]:
        brain = (w / 12) ** 2 + (h / 15) ** 2 + (d / generator.uniform(3, 4)) ** 2 <= 1
        lesion = np.zeros(SHAPE, np.uint8)
        if pathology == "tumour":
            lesion[12:20, 16:24, 3] = 2
        volumes = {"image_flair": generator.gamma(5, 20, SHAPE).astype(np.float32), "brain": brain.astype(np.uint8)}
        if pathology in ("tumour", "none"):
            volumes["lesion"] = lesion
        row = {"subject": subject, "session": "", "split": split, "pathology": pathology}
        for name, volume in volumes.items():
            row[name] = f"{subject}_{name}.nii.gz"
            nib.Nifti1Image(volume, np.diag([1.0, 1.0, 4.0, 1.0])).to_filename(folder / row[name])
        rows.append(row)
    cohort = Cohort(pd.DataFrame(rows), folder)
    cohort.write(folder / "cohort.csv")
    return Cohort.read(folder / "cohort.csv")


@pytest.fixture
def cohort(tmp_path: Path) -> Cohort:
    return write_cohort(tmp_path / "cohort")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def build(cohort: Cohort, cache: Path, spec: ArraySpec = SPEC, **options: int) -> ArrayStore:
    return build_arrays(cohort, spec, cache=cache, progress=False, **options)


def test_store_holds_what_preparing_each_scan_gives(cohort: Cohort, cache: Path) -> None:
    store = build(cohort, cache)
    assert store.image.shape == (len(store), 1, 24, 24)
    assert store.image.dtype == np.float16
    for row in range(len(cohort)):
        prepared = prepare_scan(cohort.load(row), SPEC)
        mine = store.index[store.index["scan"] == row]
        np.testing.assert_array_equal(store.image[mine.index], prepared.image)
        np.testing.assert_array_equal(store.brain[mine.index], prepared.brain)
        np.testing.assert_array_equal(mine["slice"], prepared.slice_index)
        np.testing.assert_allclose(store.height[mine.index], prepared.slice_index / (prepared.shape[0] - 1), rtol=1e-6)
        np.testing.assert_array_equal(store.height[mine.index], prepared.height)
        np.testing.assert_array_equal(mine["brain_voxels"], prepared.brain_voxels)
        np.testing.assert_array_equal(mine["lesion_voxels"], prepared.lesion_voxels)
        lesion = 0 if prepared.lesion is None else prepared.lesion
        np.testing.assert_array_equal(store.lesion[mine.index], np.broadcast_to(lesion, prepared.brain.shape))
    assert store.lesion.max() == 2
    assert store.spec == SPEC
    assert store.folder == cache / store.digest
    assert not store.image[:, 0][~store.brain].any()


def test_index_keeps_names_as_they_are_written(cohort: Cohort, cache: Path) -> None:
    names = ["scan", "subject", "session", "split", "pathology", "slice", "brain_voxels", "lesion_voxels", "pixel_mm"]
    index = build(cohort, cache).index
    assert list(index) == names
    assert list(index["subject"].unique()) == ["007", "NA", "c", "d"]
    assert set(index["pathology"]) == {"tumour", "none", "stroke", "healthy"}
    assert (index["session"] == "").all()


def test_arrays_are_memory_mapped_and_read_only(cohort: Cohort, cache: Path) -> None:
    store = build(cohort, cache)
    for array in (store.image, store.brain, store.lesion):
        assert isinstance(array, np.memmap)
        assert not array.flags.writeable


def test_format_is_plain_npy_csv_and_json(cohort: Cohort, cache: Path) -> None:
    store = build(cohort, cache)
    assert sorted(path.name for path in store.folder.iterdir()) == [
        "brain.npy",
        "frames.json",
        "image.npy",
        "index.csv",
        "lesion.npy",
        "settings.json",
    ]
    image = np.load(store.folder / "image.npy")
    np.testing.assert_array_equal(image, store.image)
    assert image.nbytes == (store.folder / "image.npy").stat().st_size - 128
    settings = json.loads((store.folder / "settings.json").read_text())
    assert settings == {"format": ARRAY_FORMAT, "digest": store.digest, "spec": SPEC.to_dict(), "recipe": None}


def test_volumes_are_one_row_per_scan(cohort: Cohort, cache: Path) -> None:
    store = build(cohort, cache, ArraySpec(size=(16, 20, 20), dtype="float32"))
    assert store.image.shape == (4, 1, 16, 20, 20)
    assert list(store.index["lesion_voxels"]) == [64, 0, -1, 0]
    assert np.isnan(store.height).all()
    assert store.to_native(0, store.image[:1, 0]).shape == (8, 36, 30)


def test_what_is_there_is_not_made_again(cohort: Cohort, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = build(cohort, cache)
    monkeypatch.setattr(uad_data.arrays, "_prepare_row", lambda *_: pytest.fail("prepared again"))
    assert build(cohort, cache).digest == first.digest


def test_digest_follows_settings_files_and_format(cohort: Cohort, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digests = {build(cohort, cache).digest}
    digests.add(build(cohort, cache, ArraySpec(size=(24, 24), scaling="minmax")).digest)
    file = cohort.root / "c_image_flair.nii.gz"
    os.utime(file, (1, 1))
    digests.add(build(cohort, cache).digest)
    monkeypatch.setattr(uad_data.arrays, "ARRAY_FORMAT", ARRAY_FORMAT + 1)
    digests.add(build(cohort, cache).digest)
    assert len(digests) == 4


def test_bits_are_the_same_for_any_number_of_workers(cohort: Cohort, tmp_path: Path) -> None:
    one, two = build(cohort, tmp_path / "one"), build(cohort, tmp_path / "two", workers=2)
    assert one.digest == two.digest
    for file in one.folder.iterdir():
        assert file.read_bytes() == (two.folder / file.name).read_bytes(), file.name


def test_rows_follow_the_split(cohort: Cohort, cache: Path) -> None:
    store = build(cohort, cache)
    for split, subjects in {"train": {"007", "NA"}, "val": {"c"}, "test": {"d"}}.items():
        assert set(store.index["subject"].iloc[store.rows(split)]) == subjects
    assert sum(store.rows(split).size for split in ("train", "val", "test")) == len(store)
    assert store.rows("").size == 0
    with pytest.raises(InputError, match=r"'tets' is unknown.*train, val, test"):
        store.rows("tets")


def test_healthy_rows_show_no_lesion_and_are_annotated(cohort: Cohort, cache: Path) -> None:
    store = build(cohort, cache)
    healthy = store.index.iloc[store.healthy_rows("train")]
    assert set(healthy["subject"]) == {"007", "NA"}
    assert 3 not in set(healthy["slice"][healthy["subject"] == "007"])
    assert set(store.index["slice"].iloc[store.rows("train")]) - set(healthy["slice"]) == set()
    assert healthy.shape[0] == store.rows("train").size - 1
    assert store.healthy_rows("test").size == store.rows("test").size
    with pytest.raises(InputError, match=r"'val' has no healthy slice: of \d rows, 0 have a lesion and \d have no"):
        store.healthy_rows("val")


def test_batch_reads_rows_in_the_order_asked(cohort: Cohort, cache: Path) -> None:
    store = build(cohort, cache)
    rows = np.array([7, 0, 3, 7, 1])
    batch = store.batch(rows)
    assert batch["image"].shape == (5, 1, 24, 24)
    assert batch["image"].dtype == np.float32
    assert batch["brain"].shape == (5, 1, 24, 24)
    assert batch["brain"].dtype == bool
    for place, row in enumerate(rows):
        np.testing.assert_array_equal(batch["image"][place], store.image[row].astype(np.float32))
        np.testing.assert_array_equal(batch["brain"][place, 0], store.brain[row])


def test_maps_go_back_to_each_scan_s_own_grid(cohort: Cohort, cache: Path) -> None:
    store = build(cohort, cache)
    rows = np.flatnonzero(store.index["scan"] == 0)
    back = store.to_native(0, store.lesion[rows])
    lesion = cohort.load(0).lesion
    assert back.shape == lesion.shape
    assert 2 * ((back > 0) & (lesion > 0)).sum() / ((back > 0).sum() + (lesion > 0).sum()) > 0.8
    np.testing.assert_array_equal(back, prepare_scan(cohort.load(0), SPEC).to_native(store.lesion[rows]))


def test_store_travels_to_other_processes_without_its_arrays(cohort: Cohort, cache: Path) -> None:
    store = build(cohort, cache)
    parcel = pickle.dumps(store)
    assert len(parcel) < 500
    np.testing.assert_array_equal(pickle.loads(parcel).image, store.image)


def test_another_split_is_a_view_with_a_digest_of_its_own(cohort: Cohort, cache: Path) -> None:
    store = build(cohort, cache)
    split = {"007": "test", "NA": "val", "c": "train", "d": "train"}
    view = store.with_split(split)
    assert view.image is store.image
    for name in ("train", "val", "test"):
        people = {subject for subject, given in split.items() if given == name}
        assert set(view.index["subject"].iloc[view.rows(name)]) == people
    other = store.with_split(split | {"d": "val"})
    assert len({store.digest, view.digest, other.digest}) == 3
    assert store.with_split(dict(reversed(split.items()))).digest == view.digest
    assert other.with_split(split).digest == view.digest
    there = pickle.loads(pickle.dumps(view))
    assert there.digest == view.digest
    pd.testing.assert_frame_equal(there.index, view.index)
    with pytest.raises(InputError, match="split of subject 'd': expected one of train, val, test; found ''"):
        store.with_split({"007": "test", "NA": "val", "c": "train"})


def test_interrupted_build_leaves_nothing(cohort: Cohort, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare_row = uad_data.arrays._prepare_row

    def interrupt(cohort: Cohort, spec: ArraySpec, row: int) -> object:
        if row == 2:
            raise KeyboardInterrupt
        return prepare_row(cohort, spec, row)

    with monkeypatch.context() as patch:
        patch.setattr(uad_data.arrays, "_prepare_row", interrupt)
        with pytest.raises(KeyboardInterrupt):
            build(cohort, cache)
    assert list(cache.iterdir()) == []
    assert len(build(cohort, cache)) > 0


def test_leftovers_of_a_killed_build_are_not_read_and_later_removed(cohort: Cohort, cache: Path) -> None:
    digest = uad_data.arrays._digest(cohort, SPEC)
    dead, alive = cache / f".{digest}-dead", cache / f".{digest}-alive"
    for folder in (dead, alive):
        folder.mkdir(parents=True)
        (folder / "image.npy").write_bytes(b"half")
    for path in (dead / "image.npy", dead):
        os.utime(path, (1, 1))
    build(cohort, cache)
    assert not dead.exists()
    assert alive.exists()


def test_two_builds_at_once_give_one_cache(cohort: Cohort, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    barrier, prepare_row = threading.Barrier(2, timeout=20), uad_data.arrays._prepare_row

    def together(cohort: Cohort, spec: ArraySpec, row: int) -> object:
        barrier.wait()
        return prepare_row(cohort, spec, row)

    monkeypatch.setattr(uad_data.arrays, "_prepare_row", together)
    with ThreadPoolExecutor(2) as pool:
        stores = [future.result() for future in [pool.submit(build, cohort, cache) for _ in range(2)]]
    np.testing.assert_array_equal(stores[0].image, stores[1].image)
    assert [path.name for path in cache.iterdir()] == [stores[0].digest]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_full_disk_is_one_clear_error(cohort: Cohort, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    growing_array = uad_data.arrays.growing_array
    monkeypatch.setattr(uad_data.arrays, "growing_array", lambda _, *rest: growing_array(Path("/dev/full"), *rest))
    with pytest.raises(InputError, match=r"disk is full: the array cache of 4 scans .*Free some space"):
        build(cohort, cache)
    assert list(cache.iterdir()) == []


def test_scan_that_cannot_be_prepared_is_named(cohort: Cohort, cache: Path) -> None:
    with pytest.raises(InputError, match=r"'007'.*no slice fits the rule 'pixels:9999'"):
        build(cohort, cache, ArraySpec(size=(24, 24), slices="pixels:9999"))
    assert list(cache.iterdir()) == []


def test_other_versions_and_damage_are_refused(cohort: Cohort, cache: Path) -> None:
    folder = build(cohort, cache).folder
    settings = json.loads((folder / "settings.json").read_text())
    (folder / "settings.json").write_text(json.dumps(settings | {"format": ARRAY_FORMAT + 1}))
    with pytest.raises(InputError, match=r"expected format \d+, found \d+, written by a newer uad-data"):
        ArrayStore.open(folder)
    (folder / "settings.json").write_text(json.dumps(settings))
    whole = (folder / "image.npy").read_bytes()
    (folder / "image.npy").write_bytes(whole[:-1000])
    with pytest.raises(InputError, match=r"cannot be read.*Delete the folder"):
        build(cohort, cache)
    with pytest.raises(InputError, match="cannot be read"):
        ArrayStore.open(cache / "nowhere")


@pytest.fixture
def real_data() -> Path:
    if not os.environ.get("UAD_REAL_DATA"):
        pytest.skip("UAD_REAL_DATA is not set")
    return Path(os.environ["UAD_REAL_DATA"])


def relative_area(lesion: np.ndarray, brain: np.ndarray) -> float:
    return np.count_nonzero(lesion) / np.count_nonzero(brain)


def test_real_stroke_slices_keep_their_lesions(real_data: Path, cache: Path) -> None:
    names = sorted(path.name for path in (real_data / "soop" / "images").glob("*.png"))[:30]
    table = pd.DataFrame(
        {
            "subject": names,
            "pathology": "stroke",
            "image_flair": [f"images/{name}" for name in names],
            "lesion": [f"masks/{name}" for name in names],
        }
    )
    cohort = Cohort(table, real_data / "soop")
    store = build(cohort, cache, ArraySpec())
    assert store.image.shape == (30, 1, 128, 128)
    scans = [cohort.load(row) for row in range(30)]
    large = [row for row in range(30) if np.count_nonzero(scans[row].lesion) > 200]
    before = np.array([relative_area(scans[row].lesion, scans[row].brain) for row in large])
    after = np.array([relative_area(store.lesion[row], store.brain[row]) for row in large])
    assert len(large) >= 5
    assert (after / before).min() >= 0.95
    assert after.sum() / before.sum() == pytest.approx(1, abs=0.02)


def test_real_multiple_sclerosis_volume_keeps_its_lesions(real_data: Path, cache: Path) -> None:
    folder = real_data / "ms" / "mni" / "patient07"
    ending = "N4_noneck_reduced_winsor_regtoFLAIR"
    table = pd.DataFrame(
        {
            "subject": ["patient07"],
            "pathology": "ms",
            "image_flair": [f"FLAIR_{ending}_brain_N4_regtoMNI.nii.gz"],
            "lesion": [f"GOLD_STANDARD_{ending}_regtoMNI.nii.gz"],
        }
    )
    cohort = Cohort(table, folder)
    scan = cohort.load(0)
    assert scan.image.shape == (1, 182, 218, 182)
    store = build(cohort, cache, ArraySpec())
    assert store.image.shape[1:] == (1, 128, 128)
    assert 80 < len(store) < 182
    slices = store.index["slice"].to_numpy()
    before = relative_area(scan.lesion[slices], scan.brain[slices])
    assert relative_area(store.lesion, store.brain) / before == pytest.approx(1, abs=0.05)
    volume = build(cohort, cache, ArraySpec(size=(96, 112, 96)))
    assert volume.image.shape == (1, 1, 96, 112, 96)
    assert relative_area(volume.lesion, volume.brain) / relative_area(scan.lesion, scan.brain) >= 0.95
