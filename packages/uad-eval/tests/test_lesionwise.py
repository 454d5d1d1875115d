from itertools import product

import nibabel as nib
import numpy as np
import pytest

from uad_eval import InputError, RunKey, evaluate, leaderboard
from uad_eval.cli import main
from uad_eval.lesionwise import band_names, count_lesions, counted_lesion_metrics
from uad_eval.results import read_table


def slow_components(mask, connectivity):
    """Sets of voxels, grown one by one from a seed."""
    left = set(map(tuple, np.argwhere(mask)))
    steps = [s for s in product((-1, 0, 1), repeat=mask.ndim) if connectivity == "full" or np.abs(s).sum() == 1]
    found = []
    while left:
        grown, border = set(), {left.pop()}
        while border:
            voxel = border.pop()
            grown.add(voxel)
            near = {tuple(np.add(voxel, step).tolist()) for step in steps} & left
            border |= near
            left -= near
        found.append(grown)
    return found


def slow_counts(mask, truth, voxel_ml, edges, overlap, connectivity):
    """The stated rule, word by word."""
    counted = np.zeros((4, len(edges) + 1), int)
    marked, lesion = ({tuple(v) for v in np.argwhere(a).tolist()} for a in (mask, truth))
    for line, of, other in ((0, truth, marked), (2, mask, lesion)):
        for component in slow_components(of, connectivity):
            band = sum(len(component) * voxel_ml >= edge for edge in edges)
            counted[line, band] += 1
            counted[line + 1, band] += len(component & other) >= overlap * len(component)
    return counted


@pytest.mark.parametrize("connectivity", ["full", "face"])
@pytest.mark.parametrize("overlap", [0.01, 0.5, 1.0])
@pytest.mark.parametrize("shape", [(14, 15), (7, 8, 9)])
def test_counts_are_those_of_a_slow_reference(shape, overlap, connectivity):
    rng = np.random.default_rng(len(shape))
    for share in (0.05, 0.15, 0.3):
        truth = rng.random(shape) < share
        mask = np.where(rng.random(shape) < 0.6, truth, rng.random(shape) < share)
        edges = (0.002, 0.005)
        found = count_lesions(mask, truth, voxel_ml=0.001, edges_ml=edges, overlap=overlap, connectivity=connectivity)
        np.testing.assert_array_equal(found, slow_counts(mask, truth, 0.001, edges, overlap, connectivity))


def test_a_case_worked_by_hand():
    truth, mask = np.zeros((1, 10, 30), bool), np.zeros((1, 10, 30), bool)
    truth[0, 0, :10] = truth[0, 4, 20:22] = truth[0, 9, 0] = True
    mask[0, 0, 9:14] = True  # a tenth of the first lesion: found; a fifth of the region: true
    mask[0, 3, 21] = True  # touches the second by a corner without overlap: missed, and false
    mask[0, 7, 10:13] = True  # false
    found = count_lesions(mask, truth, voxel_ml=0.05)
    np.testing.assert_array_equal(found.lesions, [1, 2, 0, 0])
    np.testing.assert_array_equal(found.found, [0, 1, 0, 0])
    np.testing.assert_array_equal(found.regions, [1, 2, 0, 0])
    np.testing.assert_array_equal(found.true, [0, 1, 0, 0])
    whole = count_lesions(mask, truth)
    figures = {name: float(value[0]) for name, value in counted_lesion_metrics(whole).items()}
    assert figures == pytest.approx({"lesion_sensitivity": 1 / 3, "lesion_precision": 1 / 3, "lesion_f1": 1 / 3})


def test_one_region_may_find_several_lesions_and_several_regions_one():
    lesions, bridge = np.zeros((5, 9), bool), np.zeros((5, 9), bool)
    lesions[2, 1:3] = lesions[2, 6:8] = True
    bridge[2, 1:8] = True
    assert [int(kind.sum()) for kind in count_lesions(bridge, lesions)] == [2, 2, 1, 1]
    assert [int(kind.sum()) for kind in count_lesions(lesions, bridge)] == [1, 1, 2, 2]


@pytest.mark.parametrize(
    ("lesion", "region", "expected"),
    [(0, 0, (np.nan, np.nan, np.nan)), (0, 1, (np.nan, 0, 0)), (1, 0, (0, np.nan, 0)), (1, 1, (1, 1, 1))],
)
def test_empty_cases(lesion, region, expected):
    truth, mask = np.zeros((2, 4, 4)), np.zeros((2, 4, 4))
    truth[0, 0, 0], mask[0, 0, 0] = lesion, region
    figures = counted_lesion_metrics(count_lesions(mask, truth))
    np.testing.assert_array_equal([value[0] for value in figures.values()], expected)


def test_a_volume_on_an_edge_belongs_to_the_upper_band_whatever_the_header_rounds():
    voxel_ml = float(np.float32(0.9)) ** 3 / 1000  # 0.72899986
    truth = np.zeros((1, 20, 20), bool)
    truth[0, :10, :10] = True
    found = count_lesions(truth, truth, voxel_ml=voxel_ml, edges_ml=(0.0729,))
    np.testing.assert_array_equal(found.lesions, [0, 1])
    assert band_names((0.1, 1, 10)) == ["<0.1ml", "0.1-1ml", "1-10ml", ">=10ml"]


@pytest.mark.parametrize(
    ("mask", "options", "message"),
    [
        (np.zeros((3, 3)), {}, "expected one shape"),
        (np.zeros((4, 4)), {"overlap": 0}, "overlap: expected above 0"),
        (np.zeros((4, 4)), {"connectivity": "corner"}, "connectivity: expected 'full' or 'face'"),
        (np.zeros((4, 4)), {"voxel_ml": 1, "edges_ml": (2, 1)}, "rising edges"),
        (np.zeros((4, 4)), {"voxel_ml": 0}, "voxel_ml above 0"),
    ],
)
def test_what_cannot_be_counted_is_refused(mask, options, message):
    with pytest.raises(InputError, match=message):
        count_lesions(mask, np.zeros((4, 4)), **options)


@pytest.fixture(scope="module")
def volumes():
    """Scores and truth of three scans of two people; the brain leaves out a lesion of each."""
    rng = np.random.default_rng(3)
    truth = np.zeros((3, 6, 12, 12), np.uint8)
    truth[:, 1:3, 2:5, 2:5] = truth[:, 4, 8:10, 8:10] = truth[:, 0, 11, 11] = 1
    scores = (rng.normal(size=truth.shape) + 2.5 * truth).astype(np.float32)
    brain = np.ones(truth.shape, bool)
    brain[:, :, 11] = False
    return scores, truth, brain


def test_figures_of_volumes_add_up_people_and_bands(volumes):
    scores, truth, brain = volumes
    people, sizes = ["a", "a", "b"], [0.01, 0.01, 0.02]
    given = {"key": RunKey(cohort="c", method="m"), "thresholds": {"healthy_validation": 2.0}, "draws": 20}
    evaluation = evaluate(scores, truth, brain, people, voxel_ml=sizes, **given)
    found = evaluation.results
    counts = [
        count_lesions((s > 2.0) & b, t * b, voxel_ml=size)
        for s, t, b, size in zip(scores, truth, brain, sizes, strict=True)
    ]
    pooled = found[found["subject"] == "pooled"].set_index("metric")["value"]
    whole = np.sum([[kind.sum() for kind in each] for each in counts], axis=0)
    assert pooled["lesions"] == whole[0] == 6
    assert pooled["lesion_sensitivity"] == pytest.approx(whole[1] / whole[0])
    assert pooled["lesion_precision"] == pytest.approx(whole[3] / whole[2])
    small = np.sum([[kind[0] for kind in each] for each in counts], axis=0)
    assert pooled["lesions_<0.1ml"] == small[0] == 3
    assert pooled["lesion_precision_<0.1ml"] == pytest.approx(small[3] / small[2])
    assert leaderboard(evaluation, protocol="healthy_validation")["lesion_f1"].item() == pooled["lesion_f1"]
    own = found[(found["subject"] == "b") & (found["metric"] == "lesion_sensitivity")]["value"].item()
    assert own == pytest.approx(counts[2].found.sum() / counts[2].lesions.sum())
    unsized = evaluate(scores, truth, brain, people, **given).results
    assert not unsized["metric"].str.contains("ml").any()
    flat = evaluate(*(array[:, 0] for array in volumes), people, **given).results
    assert not flat["metric"].str.startswith("lesion").any()
    with pytest.raises(InputError, match="voxel_ml: expected 3 volumes"):
        evaluate(scores, truth, brain, people, voxel_ml=[1.0], **given)


def test_score_counts_lesions_in_files(volumes, tmp_path, capsys):
    scores, truth, brain = volumes
    affine = np.diag([2.0, 2.0, 2.5, 1.0])  # 0.01 ml
    for i in range(3):
        for folder, array in (("maps", scores), ("truth", truth), ("brain", brain.astype(np.uint8))):
            (tmp_path / folder).mkdir(exist_ok=True)
            nib.save(nib.Nifti1Image(array[i], affine), tmp_path / folder / f"sub-{i}.nii")
    out, folders = tmp_path / "results.csv", [str(tmp_path / name) for name in ("maps", "truth")]
    more = ["--brain", str(tmp_path / "brain"), "--out", str(out), "--healthy-volume-threshold", "2"]
    assert main(["score", *folders, *more]) == 0
    assert "lesion f1" in capsys.readouterr().out
    results = read_table("results", out)
    expected = evaluate(
        scores,
        truth,
        brain,
        ["sub-0", "sub-1", "sub-2"],
        key=RunKey(cohort="truth", method="maps"),
        thresholds={"healthy_volume": 2.0},
        voxel_ml=[0.01] * 3,
    ).results
    files, arrays = (
        frame[frame["metric"].str.match("lesion(?!_volume)")].set_index(["metric", "subject"])["value"].sort_index()
        for frame in (results, expected)
    )
    assert len(files) > 20
    assert list(files.index) == list(arrays.index)
    np.testing.assert_allclose(files, arrays)
