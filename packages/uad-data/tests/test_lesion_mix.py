import pytest

torch = pytest.importorskip("torch", reason="corruptions need torch, which is not installed")

from dataclasses import asdict, replace  # noqa: E402

from uad_data.corruptions import MIXES, LesionMix, mix_lesions  # noqa: E402
from uad_data.corruptions.lesions import KINDS, SEQUENCES, lesion_mix  # noqa: E402
from uad_data.errors import InputError  # noqa: E402


def seeded(seed: int = 0) -> "torch.Generator":
    return torch.Generator().manual_seed(seed)


def flat(size: tuple[int, ...], b: int = 40, c: int = 1, value: float = 0.5) -> tuple["torch.Tensor", "torch.Tensor"]:
    """A ball of one intensity, 0 around it."""
    grids = torch.meshgrid([torch.linspace(-1, 1, side) for side in size], indexing="ij")
    brain = (sum(grid.square() for grid in grids) < 0.8).expand(b, 1, *size).clone()
    image = torch.full((b, c, *size), value) * brain
    # One voxel of fluid, because no lesion is darker than the darkest voxel.
    image[(..., *[side // 2 for side in size])] = 0.01
    return image, brain


def textured(b: int, c: int = 1, size: tuple[int, ...] = (32, 32)) -> tuple["torch.Tensor", "torch.Tensor"]:
    image, brain = flat(size, b, c)
    return image * (1 + 0.1 * torch.rand(image.shape, generator=seeded(7))), brain


def test_kinds_are_drawn_by_weight_and_the_rest_stays_healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = dict.fromkeys(KINDS, 0)

    def counted(kind: str, made: object) -> object:
        def run(image, brain, **options):
            seen[kind] += len(image)
            return made(image, brain, **options)

        return run

    monkeypatch.setattr(lesion_mix, "KINDS", {kind: counted(kind, made) for kind, made in KINDS.items()})
    image, brain = textured(3000, size=(12, 12))
    mix = LesionMix(weights={"field_blobs": 3, "blur_noise": 1, "nsa": 0}, healthy=0.25, draws=2000)
    result = mix_lesions(image, brain, mix=mix, generator=seeded())
    untouched = (result.image == image).flatten(1).all(1)
    assert float(untouched.float().mean()) == pytest.approx(0.25, abs=0.03)
    assert not result.mask[untouched].any()
    assert not result.soft[untouched].any()
    assert seen["field_blobs"] + seen["blur_noise"] == 3000 - int(untouched.sum())
    assert seen["field_blobs"] / seen["blur_noise"] == pytest.approx(3, rel=0.15)


def test_draws_bound_the_kinds_of_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    for kind, made in KINDS.items():
        monkeypatch.setitem(
            KINDS, kind, lambda *args, kind=kind, made=made, **options: (seen.append(kind), made(*args, **options))[1]
        )
    image, brain = textured(16)
    found = set()
    for seed in range(12):
        seen.clear()
        mix_lesions(image, brain, mix=replace(MIXES["flair"], draws=2), generator=seeded(seed))
        assert 1 <= len(seen) <= 2
        found |= set(seen)
    assert len(found) > 4


@pytest.mark.parametrize("name", sorted(MIXES))
@pytest.mark.parametrize("size", [(32, 32), (16, 20, 20)])
def test_every_preset_works_in_2d_and_3d(name: str, size: tuple[int, ...]) -> None:
    image, brain = textured(10, size=size)
    result = mix_lesions(image, brain, mix=replace(MIXES[name], draws=20), generator=seeded())
    assert result.image.isfinite().all()
    assert (result.image[brain] > 0).all()
    assert result.mask.any()
    assert MIXES[name].sequences == (SEQUENCES[name],)


@pytest.mark.parametrize(
    # On FLAIR nine of ten are bright, but in some of them a core of fluid takes more away than the rim adds.
    ("name", "low", "high"),
    [("flair", 0.7, 1.0), ("t1", 0.0, 0.25), ("t2", 0.75, 1.0), ("ct", 0.3, 0.7)],
)
def test_presets_are_bright_or_dark_as_they_say(name: str, low: float, high: float) -> None:
    image, brain = flat((48, 48), 150)
    result = mix_lesions(image, brain, mix=replace(MIXES[name].only("field_blobs"), healthy=0.0), generator=seeded())
    added = ((result.image - image) * (result.soft > 0.9)).flatten(1).sum(1)
    bright = (added > 0)[added != 0]
    assert low <= float(bright.float().mean()) <= high


def test_channels_have_one_place_and_each_its_sign() -> None:
    image, brain = flat((48, 48), 60, c=2)
    mix = replace(LesionMix.of("flair", "t1").only("field_blobs"), healthy=0.0)
    result = mix_lesions(image, brain, mix=mix, generator=seeded())
    added = (result.image - image)[(result.soft > 0.9).expand_as(image)].view(-1)
    first = (result.image - image)[:, 0][(result.soft > 0.9)[:, 0]]
    second = (result.image - image)[:, 1][(result.soft > 0.9)[:, 0]]
    assert len(added) == 2 * len(first)
    assert float(first.median()) > 0.05
    assert float(second.median()) < -0.02
    with pytest.raises(InputError, match="expected 1 or 2, one for each channel"):
        mix_lesions(image, brain, mix=replace(mix, sequences=(SEQUENCES["flair"],) * 3), generator=seeded())


def test_sizes_follow_the_mix() -> None:
    image, brain = textured(40, size=(96, 96))
    for kind in KINDS:
        share = {}
        for largest in (0.02, 0.25):
            mix = replace(LesionMix(largest=largest, healthy=0.0).only(kind))
            result = mix_lesions(image, brain, mix=mix, generator=seeded())
            changed = ((result.image - image).abs() > 1e-3).flatten(1).sum(1) / brain.flatten(1).sum(1)
            share[largest] = float(changed.median())
            assert float(changed.max()) < 0.75
        # Patches of noise are as large as the noise's threshold makes them.
        if kind != "draem_texture":
            assert share[0.02] < 0.06, kind
            assert share[0.02] < share[0.25]


def test_kinds_can_be_held_out() -> None:
    mix = MIXES["t1"]
    held_out = ("nsa", "cut_paste")
    assert set(mix.without(*held_out).weights) == set(KINDS) - set(held_out)
    assert mix.without(*held_out).weights["field_blobs"] == mix.weights["field_blobs"]
    assert set(mix.only(*held_out).weights) == set(held_out)
    assert LesionMix(weights={"nsa": 1.0}).only("cut_paste").weights == {"cut_paste": 1.0}
    assert mix.only("nsa").sequences == mix.sequences


def test_a_mix_is_plain_data() -> None:
    data = asdict(MIXES["ct"])
    assert data["sequences"][0]["share_bright"] == 0.5
    assert sum(data["weights"].values()) > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": {"field_blob": 1}}, "lesion kind 'field_blob': .*Did you mean 'field_blobs'"),
        ({"weights": {"nsa": 0}}, "weights: expected at least 0, one of them above 0"),
        ({"weights": {}}, "weights: expected"),
        ({"weights": {"nsa": 1, "cut_paste": -1}}, "weights: expected"),
        ({"counts": ()}, "counts: expected"),
        ({"smallest": 0}, "smallest and largest: expected"),
        ({"largest": 1.5}, "smallest and largest: expected"),
        ({"healthy": -0.1}, "healthy and draws: expected"),
        ({"draws": 0}, "healthy and draws: expected"),
    ],
)
def test_impossible_mixes_are_refused(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        LesionMix(**options)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(InputError, match="modality 'flare': expected one of flair, t1, t2, t1ce, ct"):
        LesionMix.of("flare")
    with pytest.raises(InputError, match="lesion kind 'blobs'"):
        LesionMix().only("blobs")
    with pytest.raises(InputError, match="lesion kind 'blobs'"):
        LesionMix().without("blobs")
    with pytest.raises(InputError, match="weights: expected"):
        LesionMix(weights={"nsa": 1.0}).without("nsa")


def test_the_phantoms_lesions_are_not_used() -> None:
    from pathlib import Path

    for path in Path(lesion_mix.__file__).parent.glob("*.py"):
        assert "uad_data.phantom" not in path.read_text(encoding="utf-8")
