import numpy as np
import pytest

from uad_eval import InputError, RunKey, evaluate_reconstruction

KEY = RunKey(cohort="toy", method="vae")


def test_error_is_pooled_over_voxels_and_averaged_over_subjects():
    brain = np.zeros((3, 4, 4), bool)
    brain[0, 0], brain[1, 0], brain[2] = True, True, True  # subject a: 8 voxels, b: 16
    images = np.zeros((3, 2, 4, 4), np.float32)
    errors = np.array([1.0, 2.0, 4.0]).reshape(3, 1, 1, 1)
    evaluation = evaluate_reconstruction(images, images - errors, brain, ["a", "a", "b"], key=KEY, draws=100)
    results = evaluation.results.set_index("subject")
    assert results.loc[["a", "b"], "value"].tolist() == pytest.approx([1.5, 4.0])
    assert results.loc["pooled", "value"] == pytest.approx((4 * 1 + 4 * 2 + 16 * 4) / 24)
    assert results.loc["mean", "value"] == pytest.approx(2.75)
    assert (results.loc["pooled", "low"], results.loc["pooled", "high"]) == (1.5, 4.0)
    assert set(results["metric"]) == {"healthy_mae"}


def test_no_image_is_refused():
    with pytest.raises(InputError, match="expected 0 names"):
        evaluate_reconstruction(np.zeros((0, 4, 4)), np.zeros((0, 4, 4)), np.zeros((0, 4, 4)), [], key=KEY)


def test_items_with_lesions_bear_their_own_names():
    image = np.ones((2, 4, 4), np.float32)
    brain, kinds = image > 0, ["ms", "tumour"]
    found = evaluate_reconstruction(image, image * 0.5, brain, ["a", "b"], key=KEY, metric="mae", pathologies=kinds)
    people = found.results.set_index("subject").loc[["a", "b"]]
    assert list(people["pathology"]) == kinds
    assert set(people["metric"]) == {"mae"}
