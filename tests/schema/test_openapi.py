"""Fuzzing by our own OpenAPI document: every operation, every check, as nobody, as an editor, as an administrator."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.config import SchemathesisConfig
from schemathesis.core.parameters import ParameterLocation

from admit.web.openapi import document
from tests.schema.stage import ADMIN, EDITOR, NOBODY, Stage, admit, credentials, known_ids

ISSUER = "http://127.0.0.1:8000"
_ACCEPTED = ["2xx", "401", "403", "404", "409", "429"]
_NO_TICKET = "no schema can tell a ticket that was mailed from one that was not"
_RULES = "what a password, a name or an address must look like is more than a schema can say"
_REGISTRY = "which scopes, roles and profile fields there are is the application's registry, not the schema's"
#: schema-valid requests that are refused all the same: operation -> statuses and the reason. Nothing else is excepted
REFUSED_THOUGH_VALID: dict[str, tuple[list[str], str]] = {
    "POST /auth/register": (["422"], _RULES),
    "POST /auth/password/change": (["422"], _RULES),
    "POST /auth/password/reset": (["400", "422"], _NO_TICKET),
    "POST /auth/email/verify": (["400"], _NO_TICKET),
    "POST /auth/refresh": (["422"], _REGISTRY),
    "PATCH /auth/me": (["400", "422"], _REGISTRY + "; a number in it beyond 2**53 is not I-JSON"),
    "POST /auth/api-keys": (["422"], _REGISTRY),
    "PATCH /auth/api-keys/{key_id}": (["422"], _REGISTRY),
    "POST /auth/service-accounts": (["422"], _REGISTRY),
    "POST /auth/admin/users/{user_id}/roles": (["422"], _REGISTRY),
    "DELETE /auth/admin/users/{user_id}/roles/{role}": (["422"], _REGISTRY),
    "GET /auth/verify": (["422"], _REGISTRY),
    "GET /auth/admin/events": (["422"], "a cursor is what the page before gave out"),
    "GET /auth/admin/users": (["422"], "a cursor is what the page before gave out"),
}
CONFIG = SchemathesisConfig.from_dict(
    {
        "seed": 20260101,
        # credentials are ours to send: random ones beside them would make every request ambiguous (400)
        "generation": {"with-security-parameters": False},
        "operations": [
            {"include-name": name, "checks": {"positive_data_acceptance": {"expected-statuses": _ACCEPTED + statuses}}}
            for name, (statuses, _) in REFUSED_THOUGH_VALID.items()
        ],
    }
)
AUTH = admit()
SCHEMA = schemathesis.openapi.from_dict(document(AUTH.settings, AUTH.site()), config=CONFIG)
SCHEMA.app = Stage(AUTH)


def _check(case: Any, who: str) -> None:
    ids = known_ids(case.operation.path, who)
    # every second case is about something that is there; a path that is wrong on purpose stays so
    if ids and case.meta is not None and not case.meta.is_negative_at(ParameterLocation.PATH) and _is_second():
        case.path_parameters = {**case.path_parameters, **ids}
    sent = credentials(who)
    case.call_and_validate(base_url=ISSUER, headers=sent.headers, cookies=sent.cookies)


_COUNTER = itertools.count()


def _is_second() -> bool:
    return next(_COUNTER) % 2 == 1


FUZZED = settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
PROOF = pytest.mark.proof("ASVS-16.5.4", "ASVS-2.2.1", "ASVS-15.3.5")


@PROOF
@SCHEMA.parametrize()
@FUZZED
def test_every_operation_signed_in(case: Any) -> None:
    _check(case, ADMIN if "/admin/" in case.operation.path or case.operation.path.endswith("verify") else EDITOR)


@PROOF
@SCHEMA.parametrize()
@FUZZED
def test_every_operation_as_nobody(case: Any) -> None:
    _check(case, NOBODY)
