"""Methods by name, built in and added."""

from importlib.metadata import EntryPoint, EntryPoints

import pytest

from uad_data.errors import InputError
from uad_models import registry
from uad_models.method import Method
from uad_models.methods import METHODS
from uad_models.registry import create, list_methods, method_class


class Added(Method):
    name = "added"


def use_entry_point(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    points = EntryPoints([EntryPoint(name, value, registry.ENTRY_POINT_GROUP)])
    monkeypatch.setattr(registry, "entry_points", lambda *, group: points.select(group=group))


def test_the_built_in_methods_are_listed_and_made():
    assert {"ae", "intensity", "vae"} <= set(list_methods())
    assert list_methods() == sorted(list_methods())
    method = create("vae", latent_dim=8, size=(32, 32))
    assert (method.name, method.config.latent_dim) == ("vae", 8)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_a_method_is_called_what_it_is_registered_as(name):
    assert METHODS[name].name == name
    assert method_class(name) is METHODS[name]


def test_an_unknown_method_is_refused_with_the_nearest():
    with pytest.raises(InputError, match="unknown method 'intensty': did you mean intensity"):
        create("intensty")


def test_an_unknown_parameter_is_refused_with_the_nearest_and_the_method():
    with pytest.raises(InputError, match="method 'vae': unknown parameter 'latent_dims': did you mean latent_dim"):
        create("vae", latent_dims=8)


def test_another_package_adds_a_method(monkeypatch):
    monkeypatch.setattr("uad_models.methods.Added", Added, raising=False)
    use_entry_point(monkeypatch, "added", "uad_models.methods:Added")
    assert "added" in list_methods()
    assert isinstance(create("added"), Added)


def test_an_entry_point_that_is_no_method_is_refused(monkeypatch):
    use_entry_point(monkeypatch, "broken", "uad_models.method:Preset")
    with pytest.raises(InputError, match=r"'broken': uad_models.method:Preset is not a subclass"):
        method_class("broken")


def test_an_entry_point_that_cannot_be_imported_is_refused(monkeypatch):
    use_entry_point(monkeypatch, "gone", "no_such_package:Method")
    with pytest.raises(InputError, match=r"'gone': no_such_package:Method cannot be imported"):
        method_class("gone")
