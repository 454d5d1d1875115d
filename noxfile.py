"""Everything people and CI run: ``nox -l`` lists it, ``nox -s NAME`` runs one.

Environments are made by pip with the exact versions of constraints.txt, so that a session here,
in CI and on a user's machine is the same session.
"""

import os
import pathlib
import re
import shutil
import tomllib

import nox

nox.options.default_venv_backend = "venv"
nox.options.sessions = ["lint", "tests"]
nox.options.reuse_existing_virtualenvs = True

# Sessions start dozens of processes that import torch: without compiled files each compiles it anew, for 15 seconds.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

ROOT = pathlib.Path(__file__).parent
PACKAGES = ["uad-data", "uad-models", "uad-postproc", "uad-eval"]
EXTRAS = {"uad-data": "[torch,augmentation,fastmri,dask]", "uad-models": "[flow]", "uad-eval": "[experiment]"}
EDITABLE = [argument for package in PACKAGES for argument in ("-e", f"packages/{package}{EXTRAS.get(package, '')}")]
# Byte-compiling all of torch takes longer than a session; python compiles what it imports.
CONSTRAINED = ("--no-compile", "-c", "constraints.txt")
TEST_TOOLS = ["pytest", "pytest-xdist", "hypothesis"]
# A process a core, each on one thread: more threads gain little on images as small as a test's.
PARALLEL = ("-n", "auto", "--maxprocesses", "8", "--dist", "worksteal")
ONE_THREAD = {"OMP_NUM_THREADS": "1"}
LINT_TOOLS = ["ruff", "mypy"]
DOCS_TOOLS = ["mkdocs-material", "mkdocstrings[python]", "latex2mathml"]


def version_of(package: str) -> str:
    return tomllib.loads((ROOT / "packages" / package / "pyproject.toml").read_text())["project"]["version"]


@nox.session
def tests(session: nox.Session) -> None:
    """Run every test: ``nox -s tests -- -k phantom`` passes arguments to pytest."""
    session.install(*CONSTRAINED, *TEST_TOOLS, *EDITABLE)
    session.run("pytest", *PARALLEL, *session.posargs, env=ONE_THREAD)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, formatting and types."""
    session.install(*CONSTRAINED, *LINT_TOOLS)
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy", *(f"packages/{package}/src" for package in PACKAGES))


@nox.session
def compare(session: nox.Session) -> None:
    """Make the comparison report: ``nox -s compare -- --cohort lgg --seeds "0 1 2"``."""
    session.install(*CONSTRAINED, *EDITABLE)
    session.run("uad-eval", "report", "notebooks/compare.ipynb", *session.posargs)


@nox.session
def notebooks(session: nox.Session) -> None:
    """Run every notebook with its own defaults."""
    session.install(*CONSTRAINED, *EDITABLE)
    for notebook in sorted((ROOT / "notebooks").glob("*.ipynb")):
        session.run("uad-eval", "report", str(notebook.relative_to(ROOT)), *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation site into site/; it opens from the disk."""
    session.install(*CONSTRAINED, *DOCS_TOOLS, *EDITABLE)
    session.run("mkdocs", "build", "--strict", *session.posargs)


@nox.session
def wheels(session: nox.Session) -> None:
    """Build the four wheels, and install and import each alone in an empty environment."""
    session.install(*CONSTRAINED, "build")
    dist = ROOT / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    for package in PACKAGES:
        session.run("python", "-m", "build", "--wheel", "--outdir", str(dist), f"packages/{package}", silent=True)
    for package in PACKAGES:
        environment = pathlib.Path(session.create_tmp()) / package
        session.run("python", "-m", "venv", "--clear", str(environment), silent=True)
        python = str(environment / ("Scripts" if os.name == "nt" else "bin") / "python")
        wheel = next(dist.glob(f"{package.replace('-', '_')}-*.whl"))
        session.run(
            python,
            "-m",
            "pip",
            "install",
            "--quiet",
            *CONSTRAINED,
            "--find-links",
            str(dist),
            str(wheel),
            external=True,
        )
        module = package.replace("-", "_")
        check = f"import {module}; from {module}.cli import main; print('{package}', {module}.__version__)"
        session.run(python, "-c", check, external=True)
        session.run(python, "-c", f"from {module}.cli import main; main(['--help'])", external=True, silent=True)


@nox.session
def lowest(session: nox.Session) -> None:
    """Run the tests with the lowest versions the packages declare (torch stays at the constrained build)."""
    bounds: dict[str, str] = {}
    for package in PACKAGES:
        project = tomllib.loads((ROOT / "packages" / package / "pyproject.toml").read_text())["project"]
        extras = project.get("optional-dependencies", {}).values()
        for requirement in [*project["dependencies"], *(line for extra in extras for line in extra)]:
            name, bound = re.match(r"([A-Za-z0-9-]+)>=([0-9.]+)", requirement).groups()
            older = bounds.get(name, "0")
            bounds[name] = max(older, bound, key=lambda text: [int(part) for part in text.split(".")])
    pins = [f"{name}=={bound}.*" for name, bound in bounds.items() if name != "torch" and not name.startswith("uad-")]
    torch_pin = re.search(r"^torch==.*$", (ROOT / "constraints.txt").read_text(), re.M).group()
    file = pathlib.Path(session.create_tmp()) / "lowest.txt"
    file.write_text("\n".join([*pins, torch_pin]))
    session.install("-c", str(file), *TEST_TOOLS, *EDITABLE)
    session.run("pytest", "-W", "default", *PARALLEL, *session.posargs, env=ONE_THREAD)


@nox.session
def bench(session: nox.Session) -> None:
    """Run the benchmarks; real-data ones read UAD_REAL_DATA."""
    session.install(*CONSTRAINED, "-r", "benchmarks/requirements.txt", *EDITABLE)
    for script in sorted((ROOT / "benchmarks").glob("*.py")):
        session.run("python", str(script.relative_to(ROOT)), *session.posargs)


@nox.session
def release(session: nox.Session) -> None:
    """Tag a version: ``nox -s release -- uad-data`` (clean tree, changelog section and build checked first)."""
    if not session.posargs or any(package not in PACKAGES for package in session.posargs):
        session.error(f"name one or more of: {', '.join(PACKAGES)}")
    if session.run("git", "status", "--porcelain", external=True, silent=True).strip():
        session.error("the tree has uncommitted changes; commit them first")
    session.install(*CONSTRAINED, "build")
    for package in session.posargs:
        version = version_of(package)
        if f"## {version}" not in (ROOT / "packages" / package / "CHANGELOG.md").read_text():
            session.error(f"packages/{package}/CHANGELOG.md has no section '## {version}'")
        session.run("python", "-m", "build", "--outdir", "dist", f"packages/{package}", silent=True)
        session.run(
            "git", "tag", "--annotate", f"{package}-v{version}", "--message", f"{package} {version}", external=True
        )
