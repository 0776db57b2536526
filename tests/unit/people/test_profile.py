"""The application's own fields."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from pydantic import BaseModel, Field

from admit.ground.errors import Refusal
from admit.people.profile import Profile


class Person(BaseModel):
    city: str = "Bern"
    born: date | None = None
    shoe: int = Field(default=40, ge=1, alias="shoeSize")


def errors(profile: Profile, data: dict[str, Any]) -> list[dict[str, str]]:
    with pytest.raises(Refusal) as caught:
        profile.read(data)
    assert (caught.value.reason, caught.value.code) == ("people.profile", "invalid_input")
    return list(caught.value.fields["errors"])


def test_a_profile_is_stored_as_json() -> None:
    stored = Profile(Person).read({"born": "2000-02-29", "shoeSize": 44})
    assert stored == {"city": "Bern", "born": "2000-02-29", "shoeSize": 44}
    typed = Profile(Person).load(stored)
    assert isinstance(typed, Person)
    assert typed.born == date(2000, 2, 29)


@pytest.mark.proof("ASVS-6.4.2")
def test_an_application_without_a_model_has_no_fields() -> None:
    assert Profile().read({}) == {}
    assert errors(Profile(), {"hint": "my cat"}) == [
        {"field": "profile.hint", "message": "Extra inputs are not permitted"}
    ]


def test_every_error_is_told_with_its_field() -> None:
    found = errors(Profile(Person), {"shoeSize": 0, "born": "never", "roles": ["admin"]})
    assert {error["field"] for error in found} == {"profile.shoeSize", "profile.born", "profile.roles"}


class Anything(BaseModel):
    value: Any = None
    number: float = 0.0


@pytest.mark.parametrize("value", ["a\x00b", "\ud800", ["x", ["\x00"]], {"k\x00": 1}, {"k": {"deep": "\udfff"}}])
def test_what_a_store_cannot_keep_is_refused(value: Any) -> None:
    assert errors(Profile(Anything), {"value": value}) == [{"field": "profile.value", "message": "Cannot be stored"}]


@pytest.mark.parametrize("number", [float("inf"), float("-inf"), float("nan")])
def test_what_json_has_no_number_for_is_refused(number: float) -> None:
    assert errors(Profile(Anything), {"number": number})[0]["field"] == "profile.number"


def test_emoji_and_line_breaks_are_kept() -> None:
    assert Profile(Anything).read({"value": ["\U0001f600\n", 1, None, True]})["value"] == [
        "\U0001f600\n",
        1,
        None,
        True,
    ]


def test_a_change_keeps_the_rest_and_checks_the_whole() -> None:
    profile = Profile(Person)
    changed = profile.change({"city": "Ulm", "born": None, "shoeSize": 40}, {"shoeSize": 41})
    assert changed == {"city": "Ulm", "born": None, "shoeSize": 41}
    with pytest.raises(Refusal):
        profile.change(changed, {"is_admin": True})


def test_fields_of_an_older_model_do_not_stand_in_the_way() -> None:
    assert Profile(Person).change({"fax": "1", "city": "Ulm"}, {}) == {"city": "Ulm", "born": None, "shoeSize": 40}
