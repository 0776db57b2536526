"""The application's own fields of an account, typed by the pydantic model that it gives to Admit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from admit.ground.errors import Refusal


class NoProfile(BaseModel):
    """The profile of an application that names none: no field may be sent."""

    model_config = ConfigDict(extra="forbid")


class Profile:
    """Reads and changes profiles; a field that the model does not know is refused, never stored."""

    def __init__(self, model: type[BaseModel] = NoProfile) -> None:
        self.model = model
        aliases = {field.alias for field in model.model_fields.values() if field.alias}
        self._names = aliases | set(model.model_fields)

    def read(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """`data` as it is stored (JSON values); refuses (`people.profile`) with one error a field."""
        try:
            read = self.model.model_validate(dict(data), extra="forbid").model_dump(mode="json", by_alias=True)
        except ValidationError as error:
            raise Refusal("people.profile", fields={"errors": _errors(error)}) from None
        if errors := [_error(name, "Cannot be stored") for name, value in read.items() if not storable(value)]:
            raise Refusal("people.profile", fields={"errors": errors})
        return read

    def change(self, stored: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
        """`stored` with the fields of `changes` put in; the whole is checked again.

        Fields of an earlier version of the model are dropped: else nobody could change a profile after an upgrade.
        """
        return self.read({**{name: value for name, value in stored.items() if name in self._names}, **changes})

    def load(self, stored: Mapping[str, Any]) -> BaseModel:
        """The typed profile; `ValidationError` when what is stored no longer fits the model."""
        return self.model.model_validate(dict(stored), extra="ignore")


def storable(value: Any) -> bool:
    """Whether every store can keep `value`: PostgreSQL's JSON has no NUL, no half of a surrogate pair and no NaN."""
    match value:
        case str():
            return not any(ch == "\x00" or "\ud800" <= ch <= "\udfff" for ch in value)
        case float():
            return math.isfinite(value)
        case Mapping():
            return all(storable(part) for pair in value.items() for part in pair)
        case list():
            return all(storable(part) for part in value)
    return True


def _error(name: str, message: str) -> dict[str, str]:
    return {"field": f"profile.{name}", "message": message}


def _errors(error: ValidationError) -> list[dict[str, str]]:
    return [_error(".".join(map(str, item["loc"])), item["msg"]) for item in error.errors()[:50]]
