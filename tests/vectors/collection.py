"""How vectors are kept: a folder a format, a JSON file a vector, named after the one thing that it shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, TypeAlias

Vector: TypeAlias = "dict[str, Any]"  # JSON: bytes are hexadecimal

HERE: Final = Path(__file__).parent


def read(form: str) -> dict[str, Vector]:
    """The vectors of a format, by name, as they are committed."""
    return {path.stem: json.loads(path.read_text()) for path in sorted((HERE / form).glob("*.json"))}


def files(vectors: dict[str, Vector]) -> dict[str, str]:
    """What is to stand in each file, so that a test can compare before anything is written."""
    return {f"{name}.json": json.dumps(vector, indent=2) + "\n" for name, vector in sorted(vectors.items())}


def write(form: str, vectors: dict[str, Vector]) -> None:
    """Replace the vectors of a format."""
    folder = HERE / form
    folder.mkdir(exist_ok=True)
    for path in folder.glob("*.json"):
        path.unlink()
    for name, text in files(vectors).items():
        (folder / name).write_text(text)
    print(f"{len(vectors)} vectors in {folder.name}")
