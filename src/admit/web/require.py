"""`auth.require(...)`, `auth.optional`, `auth.limit(...)`: frozen callables, equal by value, usable as dependencies.

Not a module with postponed annotations: FastAPI reads the signature of these objects, which have no `__globals__`.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from starlette.requests import HTTPConnection

from admit.ground.principal import CredentialKind, Principal
from admit.limits import Limit
from admit.people.account import Account
from admit.web.demand import FRESH, Demand

if TYPE_CHECKING:
    from admit.web.door import Door

#: how the key of a route's limit is found; None: the caller's address
By = Callable[[HTTPConnection], str]


@dataclass(frozen=True, slots=True)
class Require:
    """Gives the `Principal` of a request or refuses it. Two that demand the same of the same Admit are equal, so
    `app.dependency_overrides[auth.require("x")]` matches.
    """

    door: "Door" = field(repr=False)
    demand: Demand

    async def __call__(self, connection: HTTPConnection) -> Principal:
        return await self.door.principal(connection.scope, self.demand)


@dataclass(frozen=True, slots=True)
class Optional:
    """Gives the `Principal`, or None for nobody. A wrong explicit credential is refused, a dead cookie is nobody."""

    door: "Door" = field(repr=False)

    async def __call__(self, connection: HTTPConnection) -> Principal | None:
        return await self.door.optional(connection.scope)


@dataclass(frozen=True, slots=True)
class AccountOf:
    """Gives the stored account of the caller; refuses `not_found` when it was deleted meanwhile."""

    require: Require
    find: Callable[[str], Awaitable[Account]] = field(repr=False)

    async def __call__(self, connection: HTTPConnection) -> Account:
        return await self.find((await self.require(connection)).subject.id)


@dataclass(frozen=True, slots=True)
class RouteLimit:
    """Counts a hit on the application's own route; refuses with 429 and Retry-After (mission S14)."""

    door: "Door" = field(repr=False)
    limit: Limit
    by: By | None = None

    async def __call__(self, connection: HTTPConnection) -> None:
        who = None if self.by is None else self.by(connection)
        await self.door.hit(connection.scope, self.limit, who)


def demand_of(
    scopes: tuple[str, ...],
    *,
    any_of: tuple[str, ...] = (),
    level: int = 1,
    max_age: timedelta | None = None,
    fresh: bool = False,
    by: tuple[CredentialKind, ...] = (),
) -> Demand:
    """The demand behind the arguments of `auth.require`; `fresh` means a proof within the last five minutes."""
    if fresh:
        max_age = FRESH if max_age is None else min(max_age, FRESH)
    return Demand(tuple(scopes), tuple(any_of), level, max_age, frozenset(by) or None)
