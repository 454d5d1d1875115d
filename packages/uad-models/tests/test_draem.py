"""DRAEM beyond the contract: its losses by the papers' equations, its score, what it is trained on."""

import itertools
import math

import numpy as np
import pytest
import torch

from uad_data.corruptions.corrupted import Blended
from uad_data.corruptions.lesions import lesion_mix
from uad_data.errors import InputError
from uad_models.methods import draem
from uad_models.methods.draem import DRAEM, DRAEMConfig, focal_loss

SMALL = {"size": (16, 16), "reconstructive": (8, 8), "latent_dim": 4, "discriminative": (8, 8), "fold": 1}


def make(**settings) -> DRAEM:
    torch.manual_seed(0)
    return DRAEM(DRAEMConfig(**{**SMALL, **settings}))


def batch(n: int = 8, side: int = 16) -> dict[str, torch.Tensor]:
    brain = torch.zeros(n, 1, side, side, dtype=torch.bool)
    brain[:, :, 2:-2, 3:-2] = True
    noise = torch.randn(n, 1, side, side, generator=torch.Generator().manual_seed(0))
    return {"image": (0.5 + 0.05 * noise).clamp(min=0.1) * brain, "brain": brain}


def slow_ssim(x: np.ndarray, y: np.ndarray, row: int, column: int) -> float:
    """Wang et al., equation 13, at one pixel: a Gaussian window of 11 and 1.5, cut at the border."""
    weights, xs, ys = [], [], []
    for i, j in itertools.product(range(row - 5, row + 6), range(column - 5, column + 6)):
        if 0 <= i < x.shape[0] and 0 <= j < x.shape[1]:
            weights.append(math.exp(-((i - row) ** 2 + (j - column) ** 2) / (2 * 1.5**2)))
            xs.append(x[i, j])
            ys.append(y[i, j])
    w, a, b = np.array(weights) / sum(weights), np.array(xs), np.array(ys)
    mean_a, mean_b = (w * a).sum(), (w * b).sum()
    variance_a, variance_b = (w * (a - mean_a) ** 2).sum(), (w * (b - mean_b) ** 2).sum()
    covariance = (w * (a - mean_a) * (b - mean_b)).sum()
    c1, c2 = 0.01**2, 0.03**2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    return luminance * (2 * covariance + c2) / (variance_a + variance_b + c2)


def test_the_loss_is_equation_4_of_the_paper(monkeypatch) -> None:
    method = make(ssim_weight=0.7).double().eval()
    healthy = batch(2)
    lesion = torch.zeros_like(healthy["brain"])
    lesion[:, :, 6:9, 6:10] = True
    made = Blended(healthy["image"] + 0.4 * lesion, lesion, lesion.float())
    made = Blended(made.image.double(), made.mask, made.soft)
    monkeypatch.setattr(draem, "mix_lesions", lambda *args, **options: made)
    found = method.loss(healthy)
    with torch.no_grad():
        restored = method.reconstruct(made.image).float().double().numpy()
        probability = method.anomaly_map(made.image).double().numpy()
    image, brain = healthy["image"].double().numpy(), healthy["brain"].numpy()
    squared, unlike, focal = [], [], []
    for b, i, j in zip(*np.nonzero(brain[:, 0]), strict=True):
        squared.append((restored[b, 0, i, j] - image[b, 0, i, j]) ** 2)
        unlike.append(1 - slow_ssim(restored[b, 0], image[b, 0], i, j))
        right = probability[b, 0, i, j] if lesion[b, 0, i, j] else 1 - probability[b, 0, i, j]
        focal.append(-((1 - right) ** 2) * math.log(right))
    assert found["l2"].item() == pytest.approx(np.mean(squared), rel=1e-4)
    assert found["ssim"].item() == pytest.approx(np.mean(unlike), rel=1e-4)
    assert found["focal"].item() == pytest.approx(np.mean(focal), rel=1e-4)
    expected = np.mean(squared) + 0.7 * np.mean(unlike) + np.mean(focal)
    assert found["loss"].item() == pytest.approx(expected, rel=1e-4)


def test_the_focal_loss_forgives_what_is_right() -> None:
    logit, lesion = torch.tensor([0.0, math.log(9), math.log(9)]), torch.tensor([True, True, False])
    found = focal_loss(logit, lesion, 2.0)
    expected = [-0.25 * math.log(0.5), -(0.1**2) * math.log(0.9), -(0.9**2) * math.log(0.1)]
    assert found.tolist() == pytest.approx(expected, rel=1e-5)
    assert focal_loss(logit, lesion, 0.0).tolist() == pytest.approx([-math.log(p) for p in (0.5, 0.9, 0.1)], rel=1e-5)


@pytest.mark.parametrize("size", [(16, 16), (8, 8, 8)], ids=["2d", "3d"])
def test_the_score_is_the_largest_mean_in_a_window_of_the_map(size, monkeypatch) -> None:
    method = make(size=size, smoothing=5)
    found = torch.rand(2, 1, *size, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(method, "anomaly_map", lambda x: found)
    expected = []
    for image in np.pad(found.numpy()[:, 0], [(0, 0), *[(2, 2)] * len(size)]):
        places = itertools.product(*(range(side) for side in size))
        expected.append(max(image[tuple(slice(p, p + 5) for p in place)].mean() for place in places))
    assert method.anomaly_score(torch.ones(2, 1, *size)).tolist() == pytest.approx(expected, rel=1e-5)


def test_finding_trains_the_network_that_restores() -> None:
    method = make()
    method.anomaly_map(batch()["image"]).sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in method.restorer.encoder.parameters())


def test_the_second_network_sees_image_and_restoration() -> None:
    method = make(fold=2).eval()
    x = batch()["image"]
    with torch.no_grad():
        before = method.anomaly_map(x)
        method.restorer.decoder[-1].bias += 1.0  # another restoration of the same image
        restored = method.anomaly_map(x)
    assert (restored - before).abs().max() > 1e-4
    assert ((restored >= 0) & (restored <= 1)).all()


def test_the_papers_lesions_are_its_textures_and_the_quick_ones_all_that_are_not_held_out(kinds_used) -> None:
    paper = make(kinds=DRAEM.presets["paper"].config["kinds"])
    assert kinds_used(paper.train(), batch()) == {"draem_texture"}
    assert kinds_used(paper.eval(), batch()) == {"intensity_shift"}
    quick = make(kinds=DRAEM.presets["quick"].config.get("kinds", ()))
    seen = kinds_used(quick.train(), batch())
    assert len(seen) > 3
    assert "intensity_shift" not in seen


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"reconstructive": ()}, "reconstructive"),
        ({"discriminative": (12,)}, "multiples of 8"),
        ({"fold": 3}, "power of 2"),
        ({"ssim_weight": -1.0}, "ssim_weight"),
        ({"focal_gamma": -1.0}, "focal_gamma"),
        ({"smoothing": 4}, "odd"),
        ({"size": (18, 16)}, r"nearest valid: \(16, 16\) or \(20, 16\)"),
        ({"modalities": ("pet",)}, "expected some of .*got 'pet'"),
        ({"modalities": ("t1", "t2")}, "one name, or 1"),
        ({"kinds": ("blob",)}, "lesion kind 'blob'"),
        ({"held_out": ("blob",)}, "lesion kind 'blob'"),
        ({"kinds": ("nsa", "intensity_shift")}, "'intensity_shift' is in both"),
        ({"held_out": tuple(lesion_mix.KINDS)}, "above 0"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, message) -> None:
    with pytest.raises(InputError, match=message):
        DRAEMConfig(**{**SMALL, **settings})
