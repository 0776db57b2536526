"""Facts, ties and voids as an issuer writes them to the services that ask it, and as those read them."""

from __future__ import annotations

import re
from typing import Any, get_args

from admit.ground.clock import SECOND
from admit.ground.ids import Kind, read, show
from admit.ground.principal import Facts, Tie, TieKind

_SHOWN: dict[TieKind, Kind] = {
    "session": "ses", "grant": "grt", "key": "key", "user": "usr", "client": "cli", "org": "org",
}  # fmt: skip
_HEX = re.compile(r"([0-9a-f]{2})+", re.ASCII)
#: what "no end of its own" is in a deadline
_NEVER = 2**62


def tie_json(tie: Tie, version: int) -> dict[str, Any]:
    """A tie and its version."""
    return {"kind": tie.kind, "id": _shown(tie), "version": version}


def read_tie(written: Any) -> tuple[Tie, int]:
    """The tie and version that `tie_json` wrote; `ValueError` for anything else."""
    members = written if isinstance(written, dict) else {}
    kind, text, version = members.get("kind"), members.get("id"), members.get("version")
    if not isinstance(kind, str) or not isinstance(text, str) or type(version) is not int or version < 0:
        raise ValueError("not a tie")
    known = next((one for one in get_args(TieKind) if one == kind), None)
    identifier = None if known is None else _identifier(known, text)
    if known is None or identifier is None:
        raise ValueError("not the identifier of a tie")
    return Tie(known, identifier), version


def seconds(at: int) -> int | None:
    """A deadline in whole seconds since 1970 (as `exp`, RFC 7519 section 2); None when there is none."""
    return at // SECOND if at < _NEVER else None


def key_ties_json(facts: Facts) -> dict[str, Any]:
    """What an API key hangs on, for whoever keeps the answer until one of them moves."""
    return {"kind": facts.subject.kind, "exp": seconds(facts.deadline), "ties": _ties(facts)}


def token_json(facts: Facts) -> dict[str, Any]:
    """What is true of a live access token."""
    return {
        "subject": facts.subject.id,
        "kind": facts.subject.kind,
        "id": facts.credential.id,
        "grant": show("grt", facts.credential_id),
        "client": facts.client,
        "scopes": sorted(facts.scopes),
        "audience": list(facts.resource),
        "methods": [{"name": method.name, "at": method.at // SECOND} for method in facts.methods],
        "claims": dict(facts.claims),
        "exp": seconds(facts.deadline),
        "ties": _ties(facts),
    }


def _ties(facts: Facts) -> list[dict[str, Any]]:
    return [tie_json(tie, version) for tie, version in facts.ties]


def _shown(tie: Tie) -> str:
    if tie.kind in _SHOWN:
        return show(_SHOWN[tie.kind], tie.id)
    if tie.kind == "tenant":
        return str(int.from_bytes(tie.id, "big"))
    return tie.id.decode() if tie.kind == "kid" else tie.id.hex()


def _identifier(kind: TieKind, text: str) -> bytes | None:
    if kind in _SHOWN:
        return read(_SHOWN[kind], text)
    if kind == "tenant":
        return int(text).to_bytes(4, "big") if text.isascii() and text.isdecimal() and len(text) < 10 else None
    if kind == "kid":
        return text.encode()
    return bytes.fromhex(text) if _HEX.fullmatch(text) else None
