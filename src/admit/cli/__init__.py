"""The command line. `main` imports what the named verb needs and nothing else: `admit --help` answers at once."""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one verb and ends the process: 0 done, 1 refused or not found, 2 usage, 3 settings, 4 a part is down."""
    try:
        from admit.cli.verbs import run
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich"):
            raise
        print(f"The command line needs {error.name}. Try: pip install 'admit[server]'", file=sys.stderr)
        sys.exit(3)
    sys.exit(run(sys.argv[1:] if arguments is None else list(arguments)))
