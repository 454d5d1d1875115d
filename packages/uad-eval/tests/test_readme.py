import re
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def test_the_snippets_of_the_readme_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    snippets = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(snippets) >= 3
    names: dict[str, object] = {}
    for snippet in snippets:
        exec(snippet, names)
    assert {path.name for path in tmp_path.iterdir()} == {"evaluation", "leaderboard.html", "curve.png"}
