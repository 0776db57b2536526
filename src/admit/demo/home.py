"""Where the demo keeps its state: `.admit/` in the present folder, readable by its owner only."""

from __future__ import annotations

import json
import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from admit.settings import Settings

SCOPES = {
    "read:posts": "Read posts",
    "write:posts": "Create and edit posts",
    "delete:posts": "Delete posts",
    "read:profile": "Read the profile",
    "write:profile": "Edit the profile",
}
ROLES = {
    "member": ("read:posts", "read:profile", "write:profile"),
    "editor": ("read:posts", "write:posts", "delete:posts", "read:profile", "write:profile"),
    "admin": ("admit:admin", "admit:verify", *SCOPES),
}


@dataclass(frozen=True, slots=True)
class Home:
    """The files of one demo."""

    folder: Path = Path(".admit")

    @property
    def settings_file(self) -> Path:
        """The settings, which the command line reads as well."""
        return self.folder / "demo.toml"

    @property
    def accounts_file(self) -> Path:
        """The ready-made accounts with their secrets."""
        return self.folder / "demo-accounts.json"

    @property
    def stories_file(self) -> Path:
        """The stories as a shell script."""
        return self.folder / "stories.sh"

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.folder / "admit.sqlite3"

    def prepare(self, port: int) -> Settings:
        """Makes the folder, writes the settings for `port`, and gives them."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        write_private(self.settings_file, _toml(self, port))
        return self.settings()

    def settings(self) -> Settings:
        """The settings of this demo. The environment has no say: ADMIT_DATABASE may name a real database."""
        return Settings(**tomllib.loads(self.settings_file.read_text("utf-8")))


def write_private(path: Path, text: str, mode: int = 0o600) -> None:
    """Replaces a file; at no moment can anyone else read it, or anyone find half of it."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    new.replace(path)


def _toml(home: Home, port: int) -> str:
    # JSON strings and arrays of strings are TOML as well
    def table(name: str, values: dict[str, Any]) -> list[str]:
        return [f"[{name}]", *(f"{json.dumps(key)} = {json.dumps(value)}" for key, value in values.items()), ""]

    lines = [
        "# Written by `admit demo` at each start: changes are lost. The command line reads it here.",
        f'issuer = "http://127.0.0.1:{port}"',
        f"database = {json.dumps(f'sqlite:///{home.database}')}",
        f"run_directory = {json.dumps(str(home.folder))}",
        "debug_docs = true",
        "",
        *table("rights", {"default_roles": ["member"]}),
        *table("rights.scopes", dict(SCOPES)),
        *table("rights.roles", {role: list(scopes) for role, scopes in ROLES.items()}),
    ]
    return "\n".join(lines)
