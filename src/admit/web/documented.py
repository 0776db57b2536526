"""What the OpenAPI document says of refusals: one problem+json schema, and per operation the statuses it can give."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from admit.ground.codes import CODES

#: statuses at which nothing is refused by a route itself but by what stands around it
_REFUSED = frozenset(code.status for code in CODES.values()) - {500}

PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "Problem details (RFC 9457). `code` is stable, `request_id` finds the reason in the log.",
    "required": ["type", "title", "status", "code", "detail", "request_id"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "enum": sorted(CODES)},
        "detail": {"type": "string"},
        "request_id": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "description": "A field that is wrong, or a code of its own where one field breaks several rules.",
                "properties": {
                    "field": {"type": "string"},
                    "message": {"type": "string"},
                    "code": {"type": "string", "enum": sorted(CODES)},
                    "detail": {"type": "string"},
                },
            },
        },
    },
}

_HEADERS: dict[int, dict[str, Any]] = {
    401: {"WWW-Authenticate": {"schema": {"type": "string"}, "required": True}},
    429: {"Retry-After": {"schema": {"type": "string"}, "required": True}},
    503: {"Retry-After": {"schema": {"type": "string"}, "required": False}},
}


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """`responses=` of a route: what it refuses beyond what its parameters and demands already tell."""
    return {status: _reference(status) for status in statuses}


def components() -> dict[str, Any]:
    """The shared parts: the schema, and one response a status that names the codes of that status."""
    return {"schemas": {"Problem": PROBLEM}, "responses": {_name(status): _response(status) for status in _REFUSED}}


def describe_refusals(operation: dict[str, Any], *, demanding: bool) -> None:
    """Adds what every operation of its kind can answer: by its body, its parameters, and whether it needs a caller."""
    parameters = operation.get("parameters", ())
    places = {parameter.get("in") for parameter in parameters}
    statuses = {413, 503}
    if "requestBody" in operation:
        statuses |= {400, 415, 422}
    if "query" in places:
        statuses |= {422}
    if "path" in places:
        statuses |= {404}
    if demanding:
        statuses |= {400, 401, 403, 429}
    answers: dict[str, Any] = operation["responses"]
    # FastAPI writes a 422 of its own shape, which nobody ever gets from us
    if _is_framework_shape(answers.get("422")):
        del answers["422"]
    for status in sorted(statuses):
        answers.setdefault(str(status), _reference(status))
    operation["responses"] = {status: _plain(answer) for status, answer in sorted(answers.items())}


def _name(status: int) -> str:
    return f"Refused{status}"


def _reference(status: int) -> dict[str, Any]:
    return {"$ref": f"#/components/responses/{_name(status)}"}


def _plain(answer: dict[str, Any]) -> dict[str, Any]:
    # FastAPI puts a description beside the reference, where OpenAPI allows nothing
    return {"$ref": answer["$ref"]} if "$ref" in answer else answer


def _response(status: int) -> dict[str, Any]:
    codes = sorted(name for name, code in CODES.items() if code.status == status)
    narrowed = {"properties": {"status": {"const": status}, "code": {"enum": codes}}}
    schema = {"allOf": [{"$ref": "#/components/schemas/Problem"}, narrowed]}
    found: dict[str, Any] = {
        "description": "; ".join(f"`{code}`" for code in codes),
        "content": {"application/problem+json": {"schema": schema}},
    }
    if status in _HEADERS:
        found["headers"] = _HEADERS[status]
    return found


def _is_framework_shape(answer: Mapping[str, Any] | None) -> bool:
    return answer is not None and "HTTPValidationError" in str(answer.get("content"))
