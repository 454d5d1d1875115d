import re
from pathlib import Path

from uad_postproc import cli
from uad_postproc.steps import STEPS

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_python_snippets_run():
    snippets = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len(snippets) == 3
    names = {}
    for snippet in snippets:
        exec(compile(snippet, "README.md", "exec"), names)
    assert names["masks"][10:].any()
    assert not names["masks"][:10].any()
    assert names["fused"][names["lesion"]].mean() > 2 * names["fused"][names["brain"] & ~names["lesion"]].mean()


def test_commands_parse():
    commands = re.findall(r"^uad-postproc (.*)$", README, flags=re.MULTILINE)
    assert len(commands) == 3
    for command in commands:
        cli._parser().parse_args(command.split())


def test_every_step_is_in_the_table():
    assert [name for name in STEPS if f"`{name}`" not in README] == []
