"""What the documentation site computes while it is built: the methods' tables, MathML, and the list of pages.

MkDocs calls the functions ``on_...`` (mkdocs.yml, ``hooks``).
"""

import html
import inspect
import re
from pathlib import Path
from typing import Any

from uad_models import list_methods, method_class

DOCS = Path(__file__).parent
COLLECTED = "Figures and background"


def on_config(config: Any) -> Any:
    """Put the pages of docs/ that mkdocs.yml does not name under `COLLECTED`."""
    named = {entry for entry in config.nav if isinstance(entry, str)}
    left = sorted(path.name for path in DOCS.glob("*.md") if path.name not in named)
    for entry in config.nav:
        if isinstance(entry, dict) and COLLECTED in entry:
            entry[COLLECTED] = left
    return config


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Fill in the methods' tables; links that lead out of docs/ become plain text."""
    if "/" not in page.file.src_uri:
        markdown = re.sub(r"\[([^\]]+)\]\(\.\./[^)]*\)", r"\1", markdown)
    markdown = markdown.replace("<!-- methods -->", overview())
    return re.sub(r"<!-- presets: (\w+) -->", lambda match: presets(match[1]), markdown)


def on_page_content(content: str, **_: Any) -> str:
    """Turn equations into MathML, which a browser shows without a script."""
    return re.sub(r'<(span|div) class="arithmatex">(.*?)</\1>', _mathml, content, flags=re.S)


def overview() -> str:
    """Return a table of all registered methods, with links to their sections.

    Returns
    -------
    str
        Markdown.
    """
    pages = sections()
    lines = ["| method | what it is | presets |", "|---|---|---|"]
    for name in list_methods():
        cls = method_class(name)
        link = f"[`{name}`]({pages[name]}#{name})" if name in pages else f"`{name}`"
        about = (inspect.getdoc(cls) or "").partition("\n")[0]
        lines.append(f"| {link} | {about} | {', '.join(f'`{preset}`' for preset in cls.presets)} |")
    return "\n".join(lines)


def presets(name: str) -> str:
    """Return a table of what a method's presets set.

    Parameters
    ----------
    name
        One of `list_methods`.

    Returns
    -------
    str
        Markdown; a setting that a preset leaves at its default is empty there.
    """
    found = method_class(name).presets
    settings = {preset: {**value.config, **value.train} for preset, value in found.items()}
    names = list(dict.fromkeys(key for values in settings.values() for key in values))
    if not names:
        return f"Presets {', '.join(f'`{preset}`' for preset in settings)}: nothing but defaults."
    lines = [f"| setting | {' | '.join(f'`{preset}`' for preset in settings)} |", "|---|" + "---|" * len(settings)]
    for key in names:
        values = [f"`{_plain(values[key])}`" if key in values else "" for values in settings.values()]
        lines.append(f"| `{key}` | {' | '.join(values)} |")
    return "\n".join(lines)


def sections() -> dict[str, str]:
    """Return the page of every method's section: a second-level heading with the method's name in backticks.

    Returns
    -------
    dict of str to str
        File name in docs/methods/ by method.
    """
    return {
        name: path.name
        for path in sorted((DOCS / "methods").glob("*.md"))
        for name in re.findall(r"^## `(\w+)`$", path.read_text(encoding="utf-8"), re.M)
    }


def _plain(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("'", "")


def _mathml(match: re.Match[str]) -> str:
    from latex2mathml.converter import convert

    block = match[1] == "div"
    latex = html.unescape(match[2]).strip()[2:-2]
    formula = convert(latex, display="block" if block else "inline")
    return f'<div class="equation">{formula}</div>' if block else formula
