from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import sys
from backchannel.cli import main
main(sys.argv[1:])
print(*sys.modules)
"""
HEAVY = ("cryptography", "sqlcipher3", "hypothesis", "wcwidth", "json", "difflib", "getpass", "backchannel.keys")
ROOMS = ("backchannel.desk", "backchannel.letters", "backchannel.seal", "backchannel.pouch")


@pytest.mark.parametrize("arguments", [["--version"], ["--help"]])
def test_only_what_is_needed_is_imported(arguments: list[str]) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], check=True, capture_output=True, text=True)
    imported = set(done.stdout.splitlines()[-1].split())
    assert "backchannel.cli.app" in imported
    assert not imported & {*HEAVY, *ROOMS}
    assert {name for name in imported if name.startswith("backchannel.cli.")} == {
        "backchannel.cli.app",
        "backchannel.cli.talk",
        "backchannel.cli.verb",
        "backchannel.cli.visible",
    }
