"""Time nnU-Net's augmentation recipe in four libraries, side by side, and print the table.

Run ``pip install -r benchmarks/requirements.txt`` and ``python benchmarks/measure_augmentation.py``. Every library gets
the same probabilities and ranges, as far as it has the transform (the last column says what it has not), on the CPU, on
one thread, as in a worker process. The libraries take turns, and the median over rounds counts.
"""

import statistics
import time
import warnings
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from uad_data.augmentation import augment

ROUNDS = 15
GAMMA, FACTORS, ZOOM = (0.7, 1.5), (0.75, 1.25), (0.7, 1.4)
Run = Callable[[Tensor, Tensor], object]


def batch(*shape: int) -> tuple[Tensor, Tensor]:
    """Balls of noise that stand for brains."""
    axes = torch.meshgrid(*[torch.linspace(-1, 1, side) for side in shape[2:]], indexing="ij")
    brain = (sum(axis**2 for axis in axes) < 0.8).expand(shape[0], 1, *shape[2:]).contiguous()
    return torch.rand(shape, generator=torch.Generator().manual_seed(0)) * brain, brain


def batchgeneratorsv2(_: int) -> tuple[Run, str]:
    return partial(augment, generator=torch.Generator().manual_seed(0)), ""


def monai(dims: int) -> tuple[Run, str]:
    from monai import transforms as mt

    angle = torch.pi if dims == 2 else torch.pi / 6
    upsample = "bilinear" if dims == 2 else "trilinear"
    keys, both = ["image"], ["image", "brain"]
    turn = {f"range_{axis}": angle for axis in "xyz"[: 1 if dims == 2 else 3]}
    steps = mt.Compose(
        [
            mt.RandRotated(both, prob=0.2, mode=("bilinear", "nearest"), padding_mode="zeros", **turn),
            mt.RandZoomd(both, prob=0.2, min_zoom=1 / ZOOM[1], max_zoom=1 / ZOOM[0], mode=("bilinear", "nearest")),
            mt.RandGaussianNoised(keys, prob=0.1, std=0.1, sample_std=True),
            mt.RandGaussianSmoothd(keys, prob=0.2, **{f"sigma_{axis}": (0.5, 1.0) for axis in "xyz"}),
            mt.RandScaleIntensityd(keys, factors=0.25, prob=0.15),
            mt.RandScaleIntensityFixedMeand(keys, factors=0.25, preserve_range=True, prob=0.15),
            mt.RandSimulateLowResolutiond(keys, prob=0.25, zoom_range=(0.5, 1.0), upsample_mode=upsample),
            mt.RandAdjustContrastd(keys, prob=0.1, gamma=GAMMA, invert_image=True, retain_stats=True),
            mt.RandAdjustContrastd(keys, prob=0.3, gamma=GAMMA, retain_stats=True),
            *(mt.RandFlipd(both, prob=0.5, spatial_axis=axis) for axis in range(dims)),
        ]
    )
    steps.set_random_state(0)
    return lambda image, brain: [steps({"image": x, "brain": y}) for x, y in zip(image, brain, strict=True)], ""


def torchio(dims: int) -> tuple[Run, str]:
    import torchio as tio

    def multiply(x: Tensor) -> Tensor:
        return x * torch.empty(()).uniform_(*FACTORS)

    def contrast(x: Tensor) -> Tensor:
        return ((x - x.mean()) * torch.empty(()).uniform_(*FACTORS) + x.mean()).clamp(x.min(), x.max())

    def gamma(x: Tensor, sign: int = 1) -> Tensor:
        x = x * sign
        low, span = x.min(), x.max() - x.min()
        y = ((x - low) / span) ** torch.empty(()).uniform_(*GAMMA) * span + low
        return ((y - y.mean()) * x.std() / y.std() + x.mean()) * sign

    degrees = (0, 0, 0, 0, -180, 180) if dims == 2 else 30
    scales = (*ZOOM, *ZOOM, 1, 1) if dims == 2 else ZOOM
    image_only = {"types_to_apply": [tio.INTENSITY]}
    steps = tio.Compose(
        [
            tio.RandomAffine(scales=0, degrees=degrees, p=0.2),
            tio.RandomAffine(scales=scales, degrees=0, isotropic=dims == 3, p=0.2),
            tio.RandomNoise(std=(0, 0.1), p=0.1),
            tio.RandomBlur(std=(0.5, 1.0) if dims == 3 else (0.5, 1.0, 0.5, 1.0, 0, 0), p=0.2),
            tio.Lambda(multiply, **image_only, p=0.15),
            tio.Lambda(contrast, **image_only, p=0.15),
            tio.RandomAnisotropy(axes=tuple(range(dims)), downsampling=(1, 2), p=0.25),
            tio.Lambda(partial(gamma, sign=-1), **image_only, p=0.1),
            tio.Lambda(gamma, **image_only, p=0.3),
            tio.RandomFlip(axes=tuple(range(dims)), flip_probability=0.5),
        ]
    )

    def run(image: Tensor, brain: Tensor) -> list[object]:
        if dims == 2:
            image, brain = image[..., None], brain[..., None]
        pairs = zip(image, brain, strict=True)
        return [steps(tio.Subject(image=tio.ScalarImage(tensor=x), brain=tio.LabelMap(tensor=y))) for x, y in pairs]

    return run, "low resolution along all axes"


def kornia(dims: int) -> tuple[Run, str]:
    from kornia import augmentation as ka

    if dims == 3:
        turn = ka.RandomAffine3D((30, 30, 30), p=0.2)
        size = ka.RandomAffine3D((0, 0, 0), scale=(ZOOM, ZOOM, ZOOM), p=0.2)
        flips = [ka.RandomHorizontalFlip3D(), ka.RandomVerticalFlip3D(), ka.RandomDepthicalFlip3D()]
        steps = torch.nn.Sequential(turn, size, *flips)
        return lambda image, brain: steps(torch.cat([image, brain.float()], dim=1)), "all of the intensities"
    steps = ka.AugmentationSequential(
        ka.RandomRotation(180.0, p=0.2),
        ka.RandomAffine(0.0, scale=ZOOM, p=0.2),
        ka.RandomGaussianNoise(std=0.05, p=0.1),
        ka.RandomGaussianBlur((7, 7), (0.5, 1.0), p=0.2),
        ka.RandomBrightness(FACTORS, p=0.15),
        ka.RandomContrast(FACTORS, p=0.15),
        ka.RandomGamma(GAMMA, p=0.4),
        ka.RandomHorizontalFlip(p=0.5),
        ka.RandomVerticalFlip(p=0.5),
        data_keys=["input", "mask"],
    )
    return lambda image, brain: steps(image, brain.float()), "low resolution, inverted gamma, retained statistics"


def milliseconds(runs: dict[str, Run], image: Tensor, brain: Tensor) -> dict[str, float]:
    """Median time of each, in turns."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for round_ in range(ROUNDS + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run(image, brain)
            if round_:  # the first one warms up
                times[name].append(1e3 * (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    libraries = {"batchgeneratorsv2": batchgeneratorsv2, "MONAI": monai, "TorchIO": torchio, "kornia": kornia}
    found: dict[int, dict[str, float]] = {}
    lacking: dict[str, list[str]] = {name: [] for name in libraries}
    for dims, shape in ((2, (32, 1, 128, 128)), (3, (2, 1, 64, 64, 64))):
        made = {name: library(dims) for name, library in libraries.items()}
        found[dims] = milliseconds({name: run for name, (run, _) in made.items()}, *batch(*shape))
        for name, (_, lacks) in made.items():
            lacking[name] += [f"{dims}D: {lacks}"] if lacks else []
    print("| library | 32 slices 128², ms | 2 volumes 64³, ms | has not |\n|---|---:|---:|---|")
    for name, lacks in lacking.items():
        print(f"| {name} | {found[2][name]:.0f} | {found[3][name]:.0f} | {'; '.join(lacks) or '–'} |")


if __name__ == "__main__":
    main()
