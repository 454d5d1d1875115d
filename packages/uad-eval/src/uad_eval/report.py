"""Run a parameterised notebook and leave the executed notebook and one self-contained HTML page.

Papermill runs the notebook and nbconvert makes the page; both come with the extra ``uad-eval[experiment]``.
Papermill only warns about a parameter the notebook does not have, takes any type for it, and does not read a default
that holds an equals sign; so the cell of parameters is read here, and a wrong name or type is an error before anything
runs.
"""

import ast
import difflib
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path

from uad_eval.errors import InputError
from uad_eval.page import page

Scalar = str | int | float | bool
#: Bytes of a page that can still be sent and opened with ease.
LARGEST = 15_000_000
_TRUE, _FALSE = {"true", "yes", "1"}, {"false", "no", "0"}


def notebook_parameters(notebook: Path) -> dict[str, Scalar]:
    """Read the names and default values in the cell tagged ``parameters``.

    Parameters
    ----------
    notebook : Path
        An ``.ipynb`` file.

    Returns
    -------
    dict
        Parameter name to its default value, a plain scalar.

    Raises
    ------
    InputError
        If the file is not there or is not a notebook.
    """
    import nbformat

    if not notebook.is_file():
        raise InputError(f"{notebook}: no such notebook")
    try:
        cells = nbformat.read(notebook, as_version=4).cells
    except Exception as error:  # nbformat raises what its JSON and schema libraries raise
        raise InputError(f"{notebook}: expected a Jupyter notebook (.ipynb), could not read it ({error})") from error
    tagged = [cell for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    lines = ast.parse(tagged[0].source).body if tagged else []
    return {
        line.target.id: ast.literal_eval(line.value)
        for line in lines
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and line.value is not None
    }


def named_parameters(arguments: Sequence[str]) -> dict[str, str]:
    """Read ``--name value`` pairs; ``--name=value`` will do too, and ``-`` serves for ``_`` in a name.

    Parameters
    ----------
    arguments : sequence of str
        From a command line.

    Returns
    -------
    dict of str to str
        Name to value.

    Raises
    ------
    InputError
        A name without ``--``, without a value, or given twice.
    """
    found: dict[str, str] = {}
    words = [part for word in arguments for part in (word.split("=", 1) if word.startswith("--") else [word])]
    for name, value in zip_longest(words[::2], words[1::2]):
        if not name.startswith("--") or value is None or name in found:
            problem = "is given twice" if name in found else "expected pairs of --NAME VALUE"
            raise InputError(f"parameter {name!r}: {problem}")
        found[name] = value
    return {name[2:].replace("-", "_"): value for name, value in found.items()}


def typed_parameters(given: Mapping[str, str], defaults: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Turn parameters given as text into the types of a notebook's defaults.

    Parameters
    ----------
    given : mapping of str to str
        Names and values from a command line.
    defaults : mapping
        Names and default values, from :func:`notebook_parameters`.

    Returns
    -------
    dict
        The given parameters, typed.

    Raises
    ------
    InputError
        For a name the notebook does not have (with the nearest ones it has) or a value of another type.
    """
    typed: dict[str, Scalar] = {}
    for name, text in given.items():
        if name not in defaults:
            near = difflib.get_close_matches(name, list(defaults), n=3) or sorted(defaults)
            raise InputError(f"the notebook has no parameter {name!r}; did you mean {', '.join(near)}?")
        kind = type(defaults[name])
        try:
            if kind is bool:
                if text.lower() not in _TRUE | _FALSE:
                    raise ValueError(text)
                typed[name] = text.lower() in _TRUE
            else:
                typed[name] = kind(text)
        except ValueError:
            raise InputError(f"parameter {name!r}: expected {kind.__name__}, found {text!r}") from None
    return typed


def run_report(notebook: Path, *, output: Path | None = None, parameters: Mapping[str, str] | None = None) -> Path:
    """Execute a notebook and write ``<output>/<name>.ipynb`` and ``<output>/<name>.html``.

    Parameters
    ----------
    notebook : Path
        The notebook to run; it is not changed.
    output : Path, optional
        Folder for the report, also given to the notebook where it has a parameter ``output``. Without it,
        ``reports/<notebook name>``, with the name of the cohort added when one is among the parameters.
    parameters : mapping of str to str, optional
        Parameter values as text.

    Returns
    -------
    Path
        The HTML page: pictures inside it, nothing loaded from anywhere.

    Raises
    ------
    InputError
        If the notebook or a parameter is not right, before anything runs; or if a cell says that its input is not.
    papermill.PapermillExecutionError
        If a cell fails; the notebook executed so far is kept, with the error in it.
    """
    import papermill

    defaults = notebook_parameters(notebook)
    given = dict(parameters or {})
    if output is None:
        cohort = "-" + Path(given["cohort"]).stem if "cohort" in given else ""
        output = Path("reports") / (notebook.stem + cohort)
    if "output" in defaults:
        given.setdefault("output", str(output))
    typed = typed_parameters(given, defaults)
    output.mkdir(parents=True, exist_ok=True)
    executed = output / notebook.name
    # Its own look at the parameters' cell warns about what was read and checked above.
    logging.getLogger("papermill").setLevel(logging.ERROR)
    try:
        papermill.execute_notebook(
            str(notebook), str(executed), parameters=typed, kernel_name="python3", stdout_file=sys.stdout
        )
    except papermill.PapermillExecutionError as error:
        if error.ename != "InputError":
            raise
        raise InputError(error.evalue) from None
    shown = executed.with_suffix(".html")
    unfinished = shown.with_suffix(".html.part")
    unfinished.write_text(_to_html(executed), encoding="utf-8")
    size = unfinished.stat().st_size
    if size > LARGEST:
        logging.getLogger(__name__).warning(
            "%s: %.0f MB is much for a page; ask for fewer methods at once", shown, size / 1e6
        )
    os.replace(unfinished, shown)
    return shown


def _to_html(executed: Path) -> str:
    """Render without code cells, prompts, scripts or anything a browser would have to download."""
    import nbformat
    from nbconvert import HTMLExporter
    from traitlets.config import Config

    hidden = Config()
    hidden.TagRemovePreprocessor.enabled = True
    hidden.TagRemovePreprocessor.remove_all_outputs_tags = {"remove-output"}
    exporter = HTMLExporter(
        template_name="basic", exclude_input=True, exclude_output_prompt=True, embed_images=True, config=hidden
    )
    notebook = nbformat.read(executed, as_version=4)
    body, _ = exporter.from_notebook_node(notebook)
    first = next(
        (cell.source for cell in notebook.cells if cell.cell_type == "markdown" and cell.source.startswith("# ")),
        executed.stem,
    )
    return page(first.splitlines()[0].removeprefix("# "), body)
