"""What the demo prints at its start: to a person and to a file the same lines, none of them broken."""

from __future__ import annotations

from types import ModuleType

import pytest

from admit.demo import plain, terminal
from admit.demo.accounts import Cast, Person
from admit.demo.exchange import shorten
from admit.demo.stories import script, stories

PEOPLE = tuple(Person(name, f"{name}@demo.test", (name,), f"{name}-Secret-1") for name in ("member", "editor", "admin"))
CAST = Cast(PEOPLE, "admit_slive_" + "k" * 70)
TOLD = stories(CAST)


@pytest.mark.parametrize("way", [plain, terminal])
def test_every_line_of_every_story_is_said_as_it_runs(
    way: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setenv("COLUMNS", "60")
    way.say("http://127.0.0.1:8000", CAST, TOLD, ".admit/stories.sh")
    said = capsys.readouterr().out
    runs = script(TOLD, "http://127.0.0.1:8000", ".admit/stories.sh")
    for story in TOLD:
        assert story.title in said
        for line in story.lines.splitlines():
            assert line in said
            assert line in runs
    for secret in (*(person.password for person in PEOPLE), CAST.api_key):
        assert secret in said


def test_there_is_a_story_for_each_way_in() -> None:
    assert len(TOLD) == 4
    assert all("refused 4" in story.lines for story in TOLD), "each shows a refusal as well"


@pytest.mark.parametrize("secret", ["", "short", "just under the limit!", "a" * 25, "b" * 500])
def test_a_shortened_secret_does_not_give_it_away(secret: str) -> None:
    shown = shorten(secret)
    assert len(shown) <= 15
    assert not secret or secret not in shown
