"""Which package may import which: the arrows of the design, read from the source with ast."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SIBLINGS = {"uad_data", "uad_models", "uad_postproc", "uad_eval"}
TORCH = {"torch", "lightning_fabric", "x_transformers", "safetensors"}

ALLOWED_SIBLINGS = {
    "uad_data": set(),
    "uad_models": {"uad_data", "uad_postproc"},
    "uad_postproc": set(),
    "uad_eval": set(),
}
MODULES = sorted(ROOT.glob("packages/*/src/**/*.py"))


def top_level_imports(source: str) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module.split(".")[0])
    return names


def is_experiment(path: Path) -> bool:
    package = next(parent for parent in path.parents if parent.name in SIBLINGS)
    first = path.relative_to(package).parts[0].removesuffix(".py")
    return package.name == "uad_eval" and first == "experiment"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_follow_the_arrows(path: Path) -> None:
    package = next(parent.name for parent in path.parents if parent.name in SIBLINGS)
    imports = top_level_imports(path.read_text())
    allowed = SIBLINGS if is_experiment(path) else ALLOWED_SIBLINGS[package] | {package}
    assert imports & SIBLINGS <= allowed, f"{path.name} imports {sorted(imports & SIBLINGS - allowed)}: no such arrow"
    if package in {"uad_postproc", "uad_eval"} and not is_experiment(path):
        assert not imports & TORCH, f"{path.name} imports {sorted(imports & TORCH)}: these packages run without torch"


def test_an_arrow_that_is_not_drawn_is_seen() -> None:
    source = "def late():\n    from uad_models.registry import create\n    import torch.nn\n"
    assert top_level_imports(source) == {"uad_models", "torch"}


def test_no_file_is_named_for_nothing() -> None:
    nameless = {"utils.py", "util.py", "helpers.py", "helper.py", "common.py", "misc.py"}
    assert not [path for path in MODULES if path.name in nameless]


def test_every_package_was_looked_at() -> None:
    assert {path.relative_to(ROOT).parts[1] for path in MODULES} == {
        "uad-data",
        "uad-models",
        "uad-postproc",
        "uad-eval",
    }
