"""Map, score and reconstruction of a batch pass the networks once, and are what each is alone."""

import numpy as np
import pytest
import torch
from torch import nn

from uad_models.predict import predict_rows
from uad_models.registry import create
from uad_models.shared import computing_once

SMALL = {
    "ae": {"channels": (8, 8)},
    "cvae": {"channels": (8, 8), "latent_dim": 4},
    "denoising_unet": {"channels": (8, 8)},
    "disyre": {"channels": (8, 8), "restorations": 3},
    "ensemble": {"members": ("synthetic_unet:channels=8+8;coarse=1", "ae:channels=8+8")},
    "restoration": {"channels": (8, 8)},
    "synthetic_unet": {"channels": (8, 8), "coarse": 1},
    "vqvae": {"channels": (8, 8), "codes": 8},
    "vqvae_transformer": {"channels": (8, 8), "codes": 8, "width": 8, "depth": 1, "heads": 1, "samples": 2},
}


def passes_in(method):
    """Count the convolutions that a method carries out, in a list that grows."""
    passed = []
    for module in method.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            module.register_forward_hook(lambda *_: passed.append(1))
    return passed


@pytest.mark.parametrize("name", SMALL)
def test_a_batch_passes_the_networks_as_often_as_for_its_map_alone(name, store, tmp_path):
    torch.manual_seed(0)
    method = create(name, size=(16, 16), **SMALL[name]).eval()
    passed, rows = passes_in(method), store.rows("test")[:3]
    x = torch.from_numpy(store.batch(rows)["image"])
    with torch.inference_mode():
        expected = method.anomaly_map(x)[:, 0]
        alone = len(passed)
        again, score = method.reconstruct(x), method.anomaly_score(x)
    passed.clear()
    found = predict_rows(method, store, rows, tmp_path / "maps.npy", reconstruction_out=tmp_path / "again.npy")
    assert len(passed) == alone > 0
    np.testing.assert_array_equal(np.load(tmp_path / "maps.npy"), expected.numpy())
    np.testing.assert_array_equal(np.load(tmp_path / "again.npy"), again.numpy())
    np.testing.assert_array_equal(found, score.numpy())


def test_nothing_is_remembered_beyond_the_batch_or_for_another_image(store):
    torch.manual_seed(0)
    method = create("ae", size=(16, 16), **SMALL["ae"]).eval()
    passed, images = passes_in(method), torch.from_numpy(store.batch(store.rows("test")[:4])["image"])
    with torch.inference_mode():
        method.reconstruct(images[:2])
        once = len(passed)
        with computing_once(method):
            first, other = method.reconstruct(images[:2]), method.reconstruct(images[2:])
        assert len(passed) == 3 * once
        assert not torch.equal(first, other)
        method.reconstruct(images[:2])
    assert len(passed) == 4 * once
