"""JSON on disk, whole or not at all."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from uad_data.atomic import atomic_path


def read_json(path: Path) -> dict[str, Any]:
    """Read what `write_json` wrote."""
    return json.loads(path.read_text(encoding="utf-8"))


def write_json(values: Mapping[str, Any], path: Path) -> None:
    """Write at once or not at all."""
    with atomic_path(path) as unfinished:
        unfinished.write_text(json.dumps(values, indent=2), encoding="utf-8")
