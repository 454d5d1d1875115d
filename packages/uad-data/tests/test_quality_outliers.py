import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from uad_data.errors import InputError
from uad_data.quality import Limits, flag_outliers, read_quality, write_table

GOOD = {"dice_to_template": 0.95, "brain_ml": 1400.0, "snr": 20.0, "snr_source": "brain", "coverage": 1.0} | {
    "touches_border": False,
    "contrast": 1.5,
}


def table(*changes: dict) -> pd.DataFrame:
    rows = [{"subject": f"p{i}", "session": ""} | GOOD | change for i, change in enumerate(changes)]
    return pd.DataFrame(rows)


def cohort_of(folder: Path, *records: object) -> Path:
    """Write a prepared cohort's table and records; the images are never opened here."""
    rows = []
    for i, record in enumerate(records):
        subject = folder / f"p{i}"
        subject.mkdir(parents=True)
        for name in ("t1.nii.gz", "brain.nii.gz"):
            (subject / name).touch()
        (subject / "prepare.json").write_text(record if isinstance(record, str) else json.dumps(record))
        rows.append(
            {"subject": subject.name, "session": "1", "pathology": "healthy", "image_t1": f"p{i}/t1.nii.gz"}
            | {"brain": f"p{i}/brain.nii.gz", "sidecar": f"p{i}/prepare.json"}
        )
    pd.DataFrame(rows).to_csv(folder / "cohort.csv", index=False)
    return folder


def test_measures_are_gathered_in_the_cohort_s_order(tmp_path: Path) -> None:
    folder = cohort_of(tmp_path, {"quality": GOOD}, {"quality": GOOD | {"snr": None, "brain_ml": 900}}, {})
    found = read_quality(folder)
    assert list(found["subject"]) == ["p0", "p1", "p2"]
    assert list(found["session"]) == ["1", "1", "1"]
    np.testing.assert_array_equal(found["brain_ml"], [1400, 900, np.nan])
    np.testing.assert_array_equal(found["snr"], [20, np.nan, np.nan])
    assert list(found["snr_source"]) == ["brain", "brain", ""]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"dice_to_template": 0.42},
            "Dice to the template is 0.42, below 0.8: the registration or the brain mask may have failed",
        ),
        ({"brain_ml": 310}, "Brain volume is 310 ml, below 700 ml: the mask lost brain, or the scan is cut"),
        ({"brain_ml": 2500}, "Brain volume is 2500 ml, above 2200 ml: the mask kept skull or neck"),
        (
            {"coverage": 0.81},
            "Only 81.0% of the template's brain lies in the field of view: the rest was not scanned",
        ),
        ({"touches_border": True}, "The brain reaches the edge of the scan: some of it may not have been scanned"),
    ],
)
def test_hard_limits_hold_for_a_single_scan(change: dict, sentence: str) -> None:
    found = flag_outliers(table(change)).iloc[0]
    assert (found["flagged"], found["flags"], found["odd"]) == (True, sentence, next(iter(change)))
    assert not flag_outliers(table({})).iloc[0]["flagged"]


def test_limits_can_be_set() -> None:
    infant = table({"brain_ml": 500})
    assert flag_outliers(infant)["flagged"][0]
    assert not flag_outliers(infant, Limits(brain_ml=(300, 1200)))["flagged"][0]


def test_robust_z_by_hand() -> None:
    volumes = [1300, 1350, 1400, 1450, 1500, 1900]
    found = flag_outliers(table(*({"brain_ml": volume} for volume in volumes)))
    # Median 1425, deviations 125, 75, 25, 25, 75, 475: median deviation 75.
    np.testing.assert_allclose(found["z_brain_ml"], 0.6745 * (np.array(volumes) - 1425) / 75)
    assert list(found["flagged"]) == [False] * 5 + [True]
    assert found["flags"][5] == (
        "Brain volume is 1900 ml, unusually high for this cohort (median 1425 ml, robust z +4.3): the mask may have "
        "kept skull or neck"
    )


def test_a_good_dice_is_never_odd_and_a_low_one_is() -> None:
    dices = [0.945, 0.945, 0.95, 0.955, 0.96, 0.999, 0.85]
    found = flag_outliers(table(*({"dice_to_template": dice} for dice in dices)))
    assert abs(found["z_dice_to_template"][5]) > 3.5
    assert list(found["flagged"]) == [False] * 6 + [True]
    assert "robust z −" in found["flags"][6]


def test_a_few_or_equal_scans_have_no_z() -> None:
    assert flag_outliers(table(*({"snr": snr} for snr in (20, 21, 22, 90))))["z_snr"].isna().all()
    equal = flag_outliers(table(*[{}] * 6, {"snr": 21}))
    assert equal["z_snr"].isna().all()
    assert not equal["flagged"].any()


def test_snr_is_compared_where_noise_was_measured_alike() -> None:
    brain = [{"snr": snr} for snr in (20, 21, 22, 23, 24)]
    air = [{"snr": snr, "snr_source": "air"} for snr in (80, 81, 82, 83, 84)]
    assert not flag_outliers(table(*brain, *air))["flagged"].any()
    assert list(flag_outliers(table(*brain, *[row | {"snr_source": "brain"} for row in air[:1]]))["flagged"])[5]


def test_the_table_on_disk_has_a_row_per_scan(tmp_path: Path) -> None:
    flagged = flag_outliers(table({}, {"dice_to_template": 0.1, "brain_ml": 30}))
    write_table(flagged, tmp_path / "quality.csv")
    read = pd.read_csv(tmp_path / "quality.csv", keep_default_na=False)
    assert list(read["odd"]) == ["", "dice_to_template brain_ml"]
    assert read["flags"][1].count("; ") == 1
    assert list(read["flagged"]) == [False, True]


def test_folders_that_are_no_prepared_cohort_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no cohort.csv; make one with 'uad-data prepare'"):
        read_quality(tmp_path)
    (tmp_path / "failed.csv").touch()
    with pytest.raises(InputError, match="every scan failed"):
        read_quality(tmp_path)
    raw = cohort_of(tmp_path / "raw", {})
    pd.read_csv(raw / "cohort.csv").drop(columns="sidecar").to_csv(raw / "cohort.csv", index=False)
    with pytest.raises(InputError, match="column sidecar, found subject"):
        read_quality(raw)


@pytest.mark.parametrize("content", ["{", "[1]"])
def test_a_broken_record_is_named(tmp_path: Path, content: str) -> None:
    with pytest.raises(InputError, match=r"p0.prepare.json: expected the record of a prepared scan"):
        read_quality(cohort_of(tmp_path, content))


@pytest.mark.parametrize("wrong", [{"brain_ml": (900, 800)}, {"dice": 1.2}, {"coverage": -1}, {"z": -2}])
def test_limits_that_make_no_sense_are_refused(wrong: dict) -> None:
    with pytest.raises(InputError, match="expected"):
        Limits(**wrong)
