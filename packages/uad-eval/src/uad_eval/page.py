"""The look of every page: light and dark as the reader's system is, from a phone's width to a wide screen's."""

from html import escape

_STYLE = """
:root {color-scheme: light dark; --ink: #1a1a1a; --paper: #fff; --soft: #555; --line: #ccc; --link: #0b5cad}
@media (prefers-color-scheme: dark) {
  :root {--ink: #e6e6e6; --paper: #16181b; --soft: #a8a8a8; --line: #43474d; --link: #8ab8ff}
}
* {box-sizing: border-box}
body {font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 1264px; padding: 12px; color: var(--ink);
  background: var(--paper); overflow-wrap: break-word; -webkit-text-size-adjust: 100%}
h1 {font-size: 1.5em; line-height: 1.25} h2 {font-size: 1.2em; margin-top: 1.9em} h3 {font-size: 1em}
p, ul, ol, details {max-width: 74em}
a {color: var(--link)} .anchor-link {display: none}
img {max-width: 100%; height: auto; background: #fff; border-radius: 5px; display: block}
figure {margin: 10px 0 18px} figcaption {font-size: 12px; margin-top: 2px}
pre {white-space: pre-wrap; overflow-wrap: anywhere; font-size: 12.5px} code {overflow-wrap: anywhere}
.output_subarea, .wide, details {overflow-x: auto; max-width: 100%}
table {border: 0; border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; margin: 8px 0}
th, td {padding: 3px 8px; border: 0; border-bottom: 1px solid var(--line); text-align: right; vertical-align: top}
th {vertical-align: bottom} th:first-child, td:first-child {text-align: left}
details {border-bottom: 1px solid var(--line); padding: 5px 0}
details td, details th {text-align: left} details td {overflow-wrap: anywhere}
summary {cursor: pointer; font-weight: 600}
@media (max-width: 700px) {body {font-size: 14.5px} details td, details th {padding: 3px 6px 3px 0}}
"""


def page(title: str, body: str) -> str:
    """Write a whole page around its content.

    Parameters
    ----------
    title : str
        Plain text.
    body : str
        HTML, pictures inside it. Pictures keep a white ground in the dark; what is wider than the page scrolls in a box
        of its own where it stands in a ``<div class="wide">``.

    Returns
    -------
    str
        A document without scripts that loads nothing.
    """
    viewport = '<meta name="viewport" content="width=device-width, initial-scale=1">'
    head = f'<meta charset="utf-8">{viewport}<title>{escape(title)}</title><style>{_STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n{body}\n</body></html>\n'
