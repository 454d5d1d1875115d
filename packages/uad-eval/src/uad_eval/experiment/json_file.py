"""JSON on disk, whole or not at all."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def read_json(path: Path) -> dict[str, Any]:
    """Read what `write_json` wrote."""
    return json.loads(path.read_text(encoding="utf-8"))


def write_json(values: Mapping[str, Any], path: Path) -> None:
    """Write at once or not at all."""
    unfinished = path.with_suffix(".part")
    unfinished.write_text(json.dumps(values, indent=2), encoding="utf-8")
    os.replace(unfinished, path)
