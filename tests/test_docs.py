"""The documentation site's sources: no method without a section, no command that its program would refuse."""

import argparse
import re
import shlex
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from uad_models import list_methods, method_class

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))


class Parsed(Exception):
    """The arguments were understood."""


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    spec = spec_from_file_location("site_hooks", DOCS / "site_hooks.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def commands() -> list[str]:
    blocks = [
        block for page in PAGES for block in re.findall(r"^```console\n(.*?)^```", page.read_text("utf-8"), re.M | re.S)
    ]
    return [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]


def test_every_method_has_a_section_with_its_presets(hooks: ModuleType) -> None:
    assert sorted(hooks.sections()) == [
        name for name in list_methods() if name in import_module("uad_models.methods").METHODS
    ]
    for name, page in hooks.sections().items():
        assert f"<!-- presets: {name} -->" in (DOCS / "methods" / page).read_text("utf-8")


def test_tables_are_those_of_the_registry(hooks: ModuleType) -> None:
    overview = hooks.overview()
    for name in hooks.sections():
        assert f"[`{name}`]({hooks.sections()[name]}#{name})" in overview
        presets = hooks.presets(name)
        for preset, settings in method_class(name).presets.items():
            assert f"`{preset}`" in presets
            for key in {**settings.config, **settings.train}:
                assert f"| `{key}` |" in presets


@pytest.mark.parametrize("line", [line for line in commands() if line.startswith("uad-")])
def test_commands_are_understood(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    parse = argparse.ArgumentParser.parse_args

    def only_parse(self: argparse.ArgumentParser, *arguments: object) -> None:
        parse(self, *arguments)
        raise Parsed

    name, *arguments = shlex.split(line)
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", only_parse)
    with pytest.raises(Parsed):
        import_module(f"{name.replace('-', '_')}.cli").main(arguments)


def test_sessions_and_parameters_of_reports_exist() -> None:
    from uad_eval.report import named_parameters, notebook_parameters, typed_parameters

    sessions = set(re.findall(r"^def (\w+)\(session", (ROOT / "noxfile.py").read_text("utf-8"), re.M))
    lines = [shlex.split(line) for line in commands()]
    nox = [line for line in lines if line[0] == "nox"]
    assert "docs" in sessions
    assert {line[2] for line in nox} <= sessions
    reports = [("notebooks/compare.ipynb", line[4:]) for line in nox if line[2] == "compare"]
    reports += [(line[2], line[3:]) for line in lines if line[:2] == ["uad-eval", "report"]]
    for notebook, given in reports:
        typed_parameters(named_parameters(given), notebook_parameters(ROOT / notebook))


def test_pages_named_in_the_navigation_exist() -> None:
    named = re.findall(r"^ +- (\S+\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.M)
    assert named
    assert not [page for page in named if not (DOCS / page).is_file()]
