import pytest

torch = pytest.importorskip("torch", reason="corruptions need torch, which is not installed")

from skimage.measure import label  # noqa: E402

from uad_data.corruptions import synthetic_lesions  # noqa: E402


def seeded(seed: int = 0) -> "torch.Generator":
    return torch.Generator().manual_seed(seed)


def flat(size: tuple[int, ...], b: int = 60, c: int = 1) -> tuple["torch.Tensor", "torch.Tensor"]:
    return torch.full((b, c, *size), 0.5), torch.ones(b, 1, *size, dtype=torch.bool)


@pytest.mark.parametrize(("size", "b"), [((96, 96), 60), ((48, 48, 48), 8)])
def test_a_smooth_lesion_has_its_contrast_size_and_labels(size: tuple[int, ...], b: int) -> None:
    image, brain = flat(size, b)
    options = {"count": (1, 1), "radius": (0.1, 0.1), "contrast": (0.3, 0.3), "roughness": 0.0, "softness": 0.02}
    result = synthetic_lesions(image, brain, **options, bright=1.0, generator=seeded())
    torch.testing.assert_close(result.image, image + 0.3 * result.soft)
    assert torch.equal(result.mask, result.soft >= 0.5)
    assert float(result.soft.flatten(1).amax(1).min()) > 0.99
    radius, volume = 0.1 * size[-1], {2: 3.1416, 3: 4.1888}[len(size)]
    assert float(result.mask.flatten(1).sum(1).max()) == pytest.approx(volume * radius ** len(size), rel=0.1)


def test_rough_edges_are_rougher_than_ellipses() -> None:
    image, brain = flat((96, 96))
    options = {"count": (1, 1), "radius": (0.12, 0.12)}
    edges = []
    for roughness in (0.0, 0.25):
        mask = synthetic_lesions(image, brain, **options, roughness=roughness, generator=seeded()).mask
        edge = mask.diff(dim=-1).sum() + mask.diff(dim=-2).sum()
        edges.append(float(edge) / float(mask.sum()) ** 0.5)
    assert edges[0] * 1.05 < edges[1]


def test_number_of_lesions_and_their_sign() -> None:
    image, brain = flat((128, 128), b=100)
    image[..., 0, 0] = -1
    options = {"radius": (0.03, 0.03), "roughness": 0.0, "contrast": (0.2, 0.4)}
    result = synthetic_lesions(image, brain, **options, generator=seeded())
    counts = [int(label(mask[0].numpy()).max()) for mask in result.mask]
    assert set(counts) == {1, 2, 3}
    result = synthetic_lesions(image, brain, **options, count=(1, 1), generator=seeded())
    added = (result.image - image)[result.soft > 0.99]
    assert 0.3 < float((added > 0).float().mean()) < 0.7
    assert float(added.abs().min()) >= 0.19
    alone = synthetic_lesions(image, brain, **options, bright=0.0, generator=seeded())
    assert float((alone.image - image).max()) <= 0


def test_no_voxel_gets_darker_than_the_darkest_and_lesions_start_in_the_brain() -> None:
    image, brain = flat((64, 64))
    brain[..., :40] = False
    image[..., 0, 0] = 0.4
    result = synthetic_lesions(image, brain, bright=0.0, generator=seeded())
    assert float(result.image.min()) == pytest.approx(0.4)
    assert result.mask.flatten(1).any(1).all()
    assert not result.soft[..., :40].any()


def test_channels_differ_in_contrast_and_share_the_outline() -> None:
    image, brain = flat((64, 64), c=2)
    image[..., 0, 0] = -1
    result = synthetic_lesions(image, brain, count=(1, 1), generator=seeded())
    changed = (result.image - image).abs() > 1e-3
    assert float((changed[:, 0] != changed[:, 1]).float().mean()) < 0.02
    assert not torch.equal(result.image[:, 0], result.image[:, 1])
