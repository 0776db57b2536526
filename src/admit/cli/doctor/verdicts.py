"""What a check may look at, what it may find, and how findings become the status of a line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from admit.cli.doctor.visit import Patient, Seen
from admit.serve.checklist import Risk, Unsafe
from admit.settings import Settings
from admit.stores.sql.survey import Behind, StoredKey

Status = Literal["pass", "fail", "warn", "not-checked"]
Place = Literal["settings", "store", "server"]

_RISKS: tuple[Risk, ...] = ("critical", "high", "medium", "low")


@dataclass(frozen=True, slots=True)
class Kept:
    """What the store holds. The last five are of the visit: which events it left, what the watch has not seen of it,
    where its password and key stand in the open, the digests that its key left.
    """

    hashes: tuple[tuple[str, str], ...]  # public id of the owner, stored password
    keys: tuple[StoredKey, ...]
    behind: Behind
    now: int
    events: frozenset[tuple[str, str]] | None = None
    passwords_in: tuple[str, ...] = ()
    api_keys_in: tuple[str, ...] = ()
    digests: frozenset[bytes] = frozenset()


@dataclass(frozen=True, slots=True)
class Setup:
    """Everything that the checks look at; None where there was nothing to look at, with the reason in `absent`."""

    settings: Settings
    unsafe: tuple[Unsafe, ...]
    kept: Kept | None = None
    seen: Seen | None = None
    patient: Patient | None = field(default=None, repr=False)
    absent: dict[str, str] = field(default_factory=dict)


class Found(NamedTuple):
    """One thing that a check found. `risk` None: that of the line. "not-checked": `why` says why not."""

    status: Status
    why: str
    mend: str = ""
    risk: Risk | None = None


Judge = Callable[[Setup], Iterable[Found]]


class Line(NamedTuple):
    """A line of the checklist. `places`: where its check looks; `together`: one of them alone tells nothing."""

    row: str
    group: str
    title: str
    risk: Risk
    places: tuple[Place, ...]
    judge: Judge
    together: bool = False


@dataclass(frozen=True, slots=True)
class Check:
    """The outcome of one line. `looked_at`: the places that were there to look at."""

    row: str
    group: str
    title: str
    status: Status
    risk: Risk
    mend: str
    why: tuple[str, ...]
    looked_at: tuple[str, ...]

    def json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "row": self.row, "group": self.group, "title": self.title, "status": self.status, "risk": self.risk,
            "mend": self.mend, "why": list(self.why), "looked_at": list(self.looked_at),
        }  # fmt: skip


def outcome(line: Line, setup: Setup) -> Check:
    """The line, judged on what there is."""
    found = [*_settings(line, setup), *line.judge(setup)]
    there = tuple(place for place in line.places if _has(setup, place))
    missing = [f"not looked at: {setup.absent[place]}" for place in line.places if place in setup.absent]
    wrong = [one for one in found if one.status in ("fail", "warn")]
    skipped = [one.why for one in found if one.status == "not-checked"]
    if wrong:
        status: Status = "fail" if any(one.status == "fail" for one in wrong) else "warn"
        judged = [one for one in wrong if one.status == status]
        risk = min((one.risk or line.risk for one in judged), key=_RISKS.index)
        mend = " ".join(dict.fromkeys(one.mend for one in wrong if one.mend))
        return _check(line, status, risk, mend, [*(one.why for one in wrong), *skipped, *missing], there)
    if not there or (skipped and (line.together or len(there) == 1)):
        return _check(line, "not-checked", line.risk, "", [*skipped, *missing], there)
    return _check(line, "pass", line.risk, "", [*skipped, *missing], there)


def _check(line: Line, status: Status, risk: Risk, mend: str, why: Iterable[str], there: tuple[Place, ...]) -> Check:
    return Check(line.row, line.group, line.title, status, risk, mend, tuple(dict.fromkeys(why)), there)


def _has(setup: Setup, place: Place) -> bool:
    return place == "settings" or (setup.kept if place == "store" else setup.seen) is not None


def _settings(line: Line, setup: Setup) -> Iterator[Found]:
    for one in setup.unsafe:
        if one.row == line.row:
            yield Found("fail" if one.fails else "warn", one.why, one.mend, one.risk)


def skipped(seen: Seen, step: str) -> Iterator[Found]:
    """The reason why a step of the visit has nothing to show, if it has."""
    reason = seen.problems.get(step) or seen.problems.get("sign_ins")
    if reason is not None:
        yield Found("not-checked", reason)
