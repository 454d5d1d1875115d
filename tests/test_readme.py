"""The README's own commands and snippets, word for word but for sizes that keep the test short."""

import contextlib
import io
import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SMALLER = {
    "--subjects 60": "--subjects 8 --spacing 6",
    "--preset quick": "--preset quick --set steps=4 --size 32 32",
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.M | re.S)


def commands(prefix: str) -> list[str]:
    lines = [line[2:] for block in blocks("console") for line in block.splitlines() if line.startswith("$ ")]
    return [line for line in lines if line.startswith(prefix)]


def test_commands_of_the_packages_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ran = commands("uad-")
    assert len(ran) >= 7
    for line in ran:
        for long, short in SMALLER.items():
            line = line.replace(long, short)
        name, *arguments = shlex.split(line)
        with contextlib.redirect_stdout(io.StringIO()) as said:
            assert import_module(f"{name.replace('-', '_')}.cli").main(arguments) == 0, line
        assert said.getvalue() or "--out" in line
    left = {path.name for path in (tmp_path / "sub-003").iterdir()}
    assert {"map.nii.gz", "mask.nii.gz", "lesions.csv", "report.html"} <= left


def test_python_snippet_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), {"__name__": "__main__"})
    assert (tmp_path / "maps.npy").is_file()


def test_sessions_and_notebook_parameters_exist() -> None:
    from uad_eval.report import named_parameters, notebook_parameters, typed_parameters

    sessions = set(re.findall(r"^def (\w+)\(session", (ROOT / "noxfile.py").read_text(), re.M))
    lines = commands("nox") + [line.split(" ", 1)[1] for line in commands("UAD_REAL_DATA=")]
    assert len(lines) >= 4
    for line in lines:
        options, _, given = line.partition(" -- ")
        assert options.split()[2] in sessions
        parameters = named_parameters(shlex.split(given))
        typed_parameters(parameters, notebook_parameters(ROOT / "notebooks" / "compare.ipynb"))


def test_links_lead_somewhere() -> None:
    targets = [target for target in re.findall(r"\]\(([^)#]+)\)", README) if not target.startswith("http")]
    assert targets
    assert not [target for target in targets if not (ROOT / target).exists()]
