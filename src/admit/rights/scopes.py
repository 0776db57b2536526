"""Scopes are words from one registry; roles hold scopes; what counts is the intersection, computed when needed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from admit.ground.errors import Refusal


def split(text: str | None) -> frozenset[str]:
    """The scopes in a space-separated text (RFC 6749 section 3.3)."""
    return frozenset((text or "").split())


def join(scopes: Iterable[str]) -> str:
    """The scopes as one text, sorted, so that equal sets are equal texts."""
    return " ".join(sorted(scopes))


class Rights:
    """The registry of scopes and the table of roles."""

    def __init__(self, scopes: Mapping[str, str], roles: Mapping[str, Iterable[str]]) -> None:
        self.scopes = dict(scopes)
        self.roles = {role: frozenset(held) for role, held in roles.items()}

    def held(self, roles: Iterable[str]) -> frozenset[str]:
        """What someone with these roles may do now; a role that no longer exists holds nothing."""
        return frozenset().union(*(self.roles.get(role, frozenset()) for role in roles))

    def effective(self, asked: frozenset[str] | None, *ceilings: frozenset[str]) -> frozenset[str]:
        """asked ∩ every ceiling (mission S6); `asked` None means: whatever the ceilings allow."""
        first, *rest = ceilings
        return (first if asked is None else asked & first).intersection(*rest)

    def known(self, asked: Iterable[str]) -> frozenset[str]:
        """`asked` as a set; refuses words that are not in the registry (`scope_unknown`)."""
        wanted = frozenset(asked)
        if unknown := wanted - self.scopes.keys():
            raise Refusal("rights.scope_unknown", fields={"unknown": sorted(unknown)[:20]})
        return wanted

    def roles_known(self, asked: Iterable[str]) -> frozenset[str]:
        """`asked` as a set; refuses roles that do not exist (`invalid_input`)."""
        wanted = frozenset(asked)
        if unknown := wanted - self.roles.keys():
            raise Refusal("people.role_unknown", fields={"unknown": sorted(unknown)[:20]})
        return wanted
