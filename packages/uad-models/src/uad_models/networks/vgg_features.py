"""Feature maps of a VGG whose weights the user has: nothing is downloaded, and no weights are shipped.

Paper: Simonyan, Zisserman, "Very deep convolutional networks for large-scale image recognition", ICLR 2015
(https://arxiv.org/abs/1409.1556). The network is read off its weights: 3 × 3 convolutions and ReLUs, with a max-pooling
wherever the numbers of ``features.0.weight``, ``features.2.weight``, ``features.5.weight`` … leave room for one, as in
torchvision's files. So any VGG without batch normalisation will do, of any width, trained on anything.

Feature maps are those of the last ReLU before each pooling and of the last of all, as in Zhang et al. 2018, whose
weights of channels (``lin0.model.1.weight`` …, as in the authors' files) are used where they stand in the same file.
"""

import re
from functools import lru_cache
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from uad_data.errors import InputError

#: Mean and standard deviation of natural images, with which networks of three channels were trained.
COLOUR_MEAN = (0.485, 0.456, 0.406)
COLOUR_SD = (0.229, 0.224, 0.225)

_WEIGHT = re.compile(r"features\.(\d+)\.weight")


class VGGFeatures(nn.Module):
    """The convolutions of a VGG, frozen.

    Parameters
    ----------
    state
        Weights by name, see this file's head; other names, such as the classifier's, are left out.

    Raises
    ------
    ValueError
        The names or shapes are not those of a VGG without batch normalisation.

    Attributes
    ----------
    in_channels
        Of its images.
    blocks
        Convolutions and ReLUs between one pooling and the next.
    weights
        For each block ``(c,)``, what its channels count for; ones where the file says nothing.
    """

    def __init__(self, state: dict[str, Tensor]) -> None:
        super().__init__()
        numbers = sorted(int(match[1]) for name in state if (match := _WEIGHT.fullmatch(name)))
        if not numbers or numbers[0] != 0:
            raise ValueError("features.0.weight, features.2.weight … of 3 × 3 convolutions are not in it")
        blocks: list[list[nn.Module]] = []
        widths: list[int] = []
        width = 0
        for before, number in zip([-3, *numbers], numbers, strict=False):
            weight, bias = state[f"features.{number}.weight"], state.get(f"features.{number}.bias")
            if weight.ndim != 4 or weight.shape[2:] != (3, 3) or bias is None or bias.shape != weight.shape[:1]:
                raise ValueError(f"features.{number} is not a 3 × 3 convolution with a bias")
            if number - before not in (2, 3) or width not in (0, weight.shape[1]):
                raise ValueError(f"features.{number} does not follow features.{before} as in a VGG")
            if number - before == 3:
                blocks.append([])
                widths.append(0)
            convolution = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1)
            convolution.load_state_dict({"weight": weight, "bias": bias})
            blocks[-1] += [convolution, nn.ReLU()]
            widths[-1] = width = weight.shape[0]
        self.in_channels = state["features.0.weight"].shape[1]
        self.blocks = nn.ModuleList(nn.Sequential(*block) for block in blocks)
        self.weights = nn.ParameterList()
        for number, width in enumerate(widths):
            found = state.get(f"lin{number}.model.1.weight", torch.ones(width))
            if found.numel() != width:
                raise ValueError(f"lin{number} has {found.numel()} weights for {width} channels")
            self.weights.append(nn.Parameter(found.float().flatten()))
        self.requires_grad_(False).eval()

    @property
    def smallest(self) -> int:
        """Least side of an image, in pixels."""
        return 2 ** (len(self.blocks) - 1)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the feature maps of each block.

        Parameters
        ----------
        images
            ``(b, 1, h, w)`` float32, about 0 to 1; repeated, and scaled as natural images are, for a network of three
            channels.

        Returns
        -------
        list of Tensor
            Each ``(b, c, h, w)``, every one after the first at half the size of the one before.
        """
        if self.in_channels == 3:
            mean, sd = (images.new_tensor(each)[:, None, None] for each in (COLOUR_MEAN, COLOUR_SD))
            images = (images - mean) / sd
        found: list[Tensor] = []
        for number, block in enumerate(self.blocks):
            if number:
                images = functional.max_pool2d(images, 2)
            images = block(images)
            found.append(images)
        return found


@lru_cache(maxsize=2)
def vgg_features(path: str, device: torch.device) -> VGGFeatures:
    """Read a VGG from a file, once per process and device.

    Parameters
    ----------
    path
        ``.safetensors``, or a file of ``torch.save`` that holds tensors by name and nothing else.
    device
        Where it is put.

    Returns
    -------
    VGGFeatures
        Frozen, in float32.

    Raises
    ------
    InputError
        The file is missing, cannot be read, or holds another network.
    """
    expected = "expected the weights of a VGG without batch normalisation, named as torchvision names them"
    try:
        if Path(path).suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(state, dict):
            raise ValueError(f"it holds a {type(state).__name__}, not tensors by name")
        network = VGGFeatures(state)
    except FileNotFoundError:
        raise InputError(f"perceptual_network: no file {path}: {expected}; none are shipped or downloaded") from None
    except Exception as error:  # torch.load has no error of its own for a file that is something else
        raise InputError(f"perceptual_network: {path}: {expected}; {error}") from error
    if network.in_channels not in (1, 3):
        raise InputError(f"perceptual_network: {path}: expected a network of 1 or 3 channels")
    return network.to(device)
