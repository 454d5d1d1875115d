import pytest
import torch

from uad_data.errors import InputError
from uad_models.devices import open_fabric


def test_cpu_is_there():
    assert open_fabric(accelerator="cpu").device == torch.device("cpu")


@pytest.mark.parametrize("choice", [{"accelerator": "tpu-x"}, {"accelerator": "cpu", "precision": "16-mixed"}])
def test_what_is_not_there_is_refused_by_name(choice):
    with pytest.raises(InputError, match=r"accelerator .*, devices 1, precision .*: not on this machine"):
        open_fabric(**choice)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_refused():
    with pytest.raises(InputError, match="accelerator cuda"):
        open_fabric(accelerator="cuda")
