"""Bad input at every operation: bodies, media types, fields, paths, queries. A 4xx with a stable code, no effect."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.attacks.wire import Header, Wire, wrong

JSON = (b"content-type", b"application/json")
#: operations whose body may be left out: no body is no mistake there
OPTIONAL = {"/auth/refresh", "/auth/logout", "/auth/api-keys/{key_id}/rotate"}

NOT_JSON: dict[str, bytes] = {
    "a brace": b"{",
    "two documents": b"{}{}",
    "a list": b"[]",
    "a text": b'"x"',
    "a number": b"1",
    "true": b"true",
    "NaN": b"NaN",
    "NaN inside": b'{"x":NaN}',
    "Infinity": b'{"x":-Infinity}',
    "too large a number": b'{"x":1e400}',
    "a number of 10,000 digits": b'{"x":' + b"9" * 10_000 + b"}",
    "deep lists": b"[" * 30_000,
    "deep objects": b'{"a":' * 10_000,
    "closed deep lists": b'{"x":' + b"[" * 20_000 + b"]" * 20_000 + b"}",
    "a member twice": b'{"password":"a","password":"b"}',
    "a member twice, escaped": b'{"password":"a","\\u0070assword":"b"}',
    "a byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": '{"x":1}'.encode("utf-16"),
    "UTF-16 big endian": '{"x":1}'.encode("utf-16-be"),
    "UTF-32": '{"x":1}'.encode("utf-32"),
    "broken UTF-8": b'{"x":"\xff\xfe"}',
    "overlong UTF-8": b'{"x":"\xc0\xaf"}',
    "a surrogate in UTF-8": b'{"x":"\xed\xa0\x80"}',
    "half a pair, escaped": b'{"identifier":"\\ud800","email":"\\udfff"}',
    "a raw control character": b'{"x":"\x01"}',
    "a raw NUL": b'{"x":"\x00"}',
    "a NUL behind": b"{}\x00",
    "a comma too many": b'{"x":1,}',
    "single quotes": b"{'x':1}",
    "a comment": b'{"x":1}/**/',
    "a form": b"identifier=a&password=b",
    "XML": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
    "compressed": gzip.compress(b"{}"),
    "only a member nobody knows": b'{"__proto__":{"admin":true}}',
    "too much": b'{"x":"' + b"A" * 70_000 + b'"}',
}
MEDIA_TYPES: dict[str, list[tuple[bytes, bytes]]] = {
    "none": [],
    "text": [(b"content-type", b"text/plain")],
    "a form": [(b"content-type", b"application/x-www-form-urlencoded")],
    "multipart": [(b"content-type", b"multipart/form-data; boundary=x")],
    "XML": [(b"content-type", b"application/xml")],
    "almost": [(b"content-type", b"application/jsonx")],
    "a parameter": [(b"content-type", b"application/json;x")],
    "a list": [(b"content-type", b"application/json, text/plain")],
    "two": [JSON, (b"content-type", b"text/plain")],
    "another charset": [(b"content-type", b"application/json; charset=utf-16")],
    "not text": [(b"content-type", b"\xff\xfe")],
    "empty": [(b"content-type", b"")],
    "a coding": [JSON, (b"content-encoding", b"gzip")],
    "two codings": [JSON, (b"content-encoding", b"identity, deflate")],
}
LENGTHS = (b"-1", b"+2", b"1e3", b"0x10", b"\xb2", b"", b"2, 2", b" ", b"9" * 40, b"70000")
VALUES: dict[str, Any] = {
    "null": None,
    "a number": 7,
    "a fraction": 1.5,
    "true": True,
    "a list": ["x"],
    "an object": {"$ne": ""},
    "nested lists": [[["x"]]],
    "a number as text": "7",
    "nothing": "",
    "5,000 letters": "x" * 5000,
    "a NUL": "a\0b",
    "a line break": "a\r\nSet-Cookie: x=1",
    "an escape": "\x1b[2Jx",
    "SQL": "' OR 1=1 --",
    "a format": "%s%n{0}${7*7}",
}
SEGMENTS = (
    "usr_", "usr_" + "0" * 22, "usr_" + "z" * 22, "usr_" + "0" * 21 + "\0", "USR_" + "0" * 22, "ses_" + "z" * 22,
    "key_" + "0" * 22, "x" * 10_000, "\0", "'; DROP TABLE admit_users; --", "é", "\ufffd", "\U0001f511", "a;b=c",
    "null", "true", "-1", "1e3", "[]", "{}", "*", "%00", "%2e%2e", "\r\nx: y", " ", "\u202e", "..", ".",
)  # fmt: skip
NOBODY = "usr_" + "0" * 22
PATHS = (
    "/auth", "/auth/", "//auth/login", "/auth//login", "/auth/login/", "/auth/login;x", "/auth/LOGIN", "/AUTH/login",
    "/auth/./login", "/auth/../auth/login", "/auth/login\0", "/auth/login%00", "/auth/" + "a" * 20_000,
    "/auth/" + "a/" * 5_000, "/auth/\ufffd", "/auth/admin/../me", "/auth/\r\nx", "/auth/login?x", "/auth/login#x",
    "/.well-known/../auth/me", "/auth/%61dmin/users", "/auth/.well-known/jwks.json/", "/auth/api-keys/verify/",
)  # fmt: skip


async def _unchanged(wire: Wire, before: Mapping[str, Any]) -> list[str]:
    after = await wire.tables()
    return [f"{name} changed" for name in before if before[name] != after[name]]


def _with_body(wire: Wire) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for method, path, operation in wire.operations():
        if "requestBody" in operation:
            yield method, path, operation


@pytest.mark.proof("ASVS-2.2.1", "ASVS-1.5.3", "ASVS-15.3.5", "ASVS-16.5.1")
async def test_what_is_not_json_is_refused_everywhere(wire: Wire) -> None:
    before, found = await wire.tables(), []
    for method, path, _ in _with_body(wire):
        for name, content in NOT_JSON.items():
            reply = await wire.json(method, wire.filled(path), content, wire.admin)
            if problem := wrong(reply):
                found.append(f"{method} {path}, {name}: {problem}")
            wanted = {413} if name == "too much" else {422} if "nobody knows" in name else {400, 422}
            if reply.status not in wanted:
                found.append(f"{method} {path}, {name}: {reply.status} {reply.code}")
    assert found == []
    assert await _unchanged(wire, before) == []


@pytest.mark.proof("ASVS-3.5.2", "ASVS-4.1.1")
async def test_other_media_types_are_refused_everywhere(wire: Wire) -> None:
    before, found = await wire.tables(), []
    for method, path, _ in _with_body(wire):
        for name, headers in MEDIA_TYPES.items():
            reply = await wire.send(method, wire.filled(path), [*wire.admin, *headers], body=b"{}")
            if (problem := wrong(reply)) or reply.code != "media_type_unsupported":
                found.append(f"{method} {path}, {name}: {problem or reply.code}")
    assert found == []
    assert await _unchanged(wire, before) == []


async def test_lengths_that_lie_and_chunks_without_end_are_refused(wire: Wire) -> None:
    before, found = await wire.tables(), []
    for method, path, operation in wire.operations():
        for length in LENGTHS:
            headers = [*wire.admin, JSON, (b"content-length", length)]
            reply = await wire.send(method, wire.filled(path), headers, body=b"{}")
            if (problem := wrong(reply)) or reply.code not in ("bad_request", "body_too_large"):
                found.append(f"{method} {path}, {length!r}: {problem or reply.code}")
        twice = [*wire.admin, JSON, (b"content-length", b"2"), (b"content-length", b"3")]
        if (await wire.send(method, wire.filled(path), twice, body=b"{}")).code != "bad_request":
            found.append(f"{method} {path}: two lengths")
        if "requestBody" in operation:
            reply = await wire.send(method, wire.filled(path), [*wire.admin, JSON], body=[b" " * 8192] * 20)
            if (problem := wrong(reply)) or reply.code != "body_too_large":
                found.append(f"{method} {path}, chunks: {problem or reply.code}")
    assert found == []
    assert await _unchanged(wire, before) == []


def _takes(schema: Mapping[str, Any], value: Any) -> bool:
    """Whether a value may be right for a member, so that it is no mistake to send it."""
    kinds = {type(None): "null", bool: "boolean", int: "integer", float: "number", str: "string"}
    kind = kinds.get(type(value), "array" if isinstance(value, list) else "object")
    shapes = [schema, *schema.get("anyOf", ())]
    named = {shape.get("type") for shape in shapes} | {"object" for shape in shapes if "$ref" in shape}
    return kind in named


def _too_long_or_short(schema: Mapping[str, Any], value: Any) -> bool:
    shapes = [shape for shape in (schema, *schema.get("anyOf", ())) if shape.get("type") == "string"]
    if not isinstance(value, str) or not shapes:
        return False
    return any(not shape.get("minLength", 0) <= len(value) <= shape.get("maxLength", 4096) for shape in shapes)


@pytest.mark.proof("ASVS-2.2.1", "ASVS-15.3.5", "ASVS-15.3.3", "ASVS-8.2.3", "ASVS-1.2.4")
async def test_members_of_the_wrong_type_are_refused_everywhere(wire: Wire) -> None:
    before, found = await wire.tables(), []
    for method, path, operation in _with_body(wire):
        model = wire.properties(operation)
        for member, schema in model["properties"].items():
            for name, value in VALUES.items():
                if _takes(schema, value) and not _too_long_or_short(schema, value):
                    continue
                reply = await wire.json(method, wire.filled(path), {member: value}, wire.admin)
                if (problem := wrong(reply)) or reply.status not in (400, 422):
                    found.append(f"{method} {path}, {member} is {name}: {problem or reply.code}")
        # what nobody may set from outside (mass assignment)
        for member in ("id", "user_id", "owner", "is_admin", "disabled_at", "email_verified", "tenant", "version"):
            reply = await wire.json(method, wire.filled(path), {member: True}, wire.admin)
            if (problem := wrong(reply)) or reply.code != "invalid_input":
                found.append(f"{method} {path}, {member} set from outside: {problem or reply.code}")
    assert found == []
    assert await _unchanged(wire, before) == []


@pytest.mark.proof("ASVS-1.2.4", "ASVS-2.2.1", "ASVS-16.4.1")
async def test_texts_that_no_store_keeps_break_nothing(wire: Wire) -> None:
    """Members that do take text, with text that databases, logs and mail choke on: refused, or just wrong."""
    found = []
    for method, path, operation in _with_body(wire):
        model = wire.properties(operation)
        texts = [name for name, schema in model["properties"].items() if _takes(schema, "x")]
        for member in texts:
            for name in ("a NUL", "a line break", "an escape", "SQL", "a format"):
                if path.endswith(("/api-keys", "/{key_id}", "/service-accounts")) and name in ("SQL", "a format"):
                    continue  # a key may have such a name
                body = dict.fromkeys(texts, "x") | {member: VALUES[name]}
                reply = await wire.json(method, wire.filled(path), body, wire.admin)
                if (
                    path.endswith("/verify")
                    and reply.status == 200
                    and reply.code in ("api_key_invalid", "token_invalid")
                ):
                    continue  # that is the answer to the question
                if (problem := wrong(reply)) and reply.status not in (202, 204):
                    found.append(f"{method} {path}, {member} is {name}: {problem}")
    assert found == []


@pytest.mark.proof("ASVS-1.2.4", "ASVS-8.2.2")
async def test_malformed_and_unknown_ids_are_not_found(wire: Wire) -> None:
    bodies = {
        "/auth/api-keys/{key_id}": {"name": "x"},
        "/auth/admin/users/{user_id}": {"disabled": True},
        "/auth/admin/users/{user_id}/roles": {"roles": ["editor"]},
    }
    before, found = await wire.tables(), []
    for method, path, operation in wire.operations():
        names = [one["name"] for one in operation.get("parameters", ()) if one["in"] == "path"]
        for name in names:
            for segment in SEGMENTS:
                filled = wire.filled(path.replace(f"{{{name}}}", segment)) if "{" not in segment else path
                content = bodies.get(path) if "requestBody" in operation else None
                if path.endswith("/rotate") or content is None:
                    reply = await wire.send(method, filled, wire.admin)
                else:
                    reply = await wire.json(method, filled, content, wire.admin)
                if name == "role" and reply.status == 200:
                    continue  # a role that nobody holds is taken away: nothing happens
                if segment == NOBODY and path.endswith(("/sessions", "/api-keys")) and reply.status in (200, 204):
                    continue  # the sign-ins and keys of nobody: none
                if (problem := wrong(reply)) or reply.status not in (404, 405, 422):
                    found.append(f"{method} {path}, {name} is {segment[:30]!r}: {problem or reply.code}")
    assert found == []
    assert await _unchanged(wire, before) == []


@pytest.mark.proof("ASVS-15.3.7", "ASVS-1.2.4")
async def test_malformed_and_repeated_parameters_are_refused(wire: Wire) -> None:
    values = (b"%00", b"x" * 5000, b"%ff%fe", b"%", b"%zz", b"%ed%a0%80", b"'+OR+1=1--", b"%0d%0aSet-Cookie:x=1")
    before, found = await wire.tables(), []
    for method, path, operation in wire.operations():
        names = [one["name"].encode() for one in operation.get("parameters", ()) if one["in"] == "query"]
        for name in names:
            for value in (*values, b"-1", b"1e3", b"0", b"201", b"[]"):
                reply = await wire.send(method, wire.filled(path), wire.admin, query=name + b"=" + value)
                if reply.status != 200 and (problem := wrong(reply)):
                    found.append(f"{method} {path}?{name.decode()}={value[:20]!r}: {problem}")
        for query in (b"x=1&x=2", b"limit=1&limit=2", b"a=&a="):
            reply = await wire.send(method, wire.filled(path), [*wire.admin, JSON], query=query)
            if (problem := wrong(reply)) or reply.code != "bad_request":
                found.append(f"{method} {path}?{query.decode()}: {problem or reply.code}")
    assert found == []
    assert await _unchanged(wire, before) == []


@pytest.mark.proof("ASVS-8.3.1")
async def test_other_spellings_of_a_path_are_nobody(wire: Wire) -> None:
    before, found = await wire.tables(), []
    body = json.dumps({"identifier": "root", "password": "wrong"}).encode()
    for path in PATHS:
        for method in ("GET", "POST", "DELETE", "PROPFIND", "get", "\u00e9"):
            reply = await wire.send(method, path, [*wire.admin, JSON], body=body)
            if path.startswith(("/auth", "/.well-known/")) and ".well-known/.." not in path:
                if (problem := wrong(reply)) or reply.status not in (404, 405):
                    found.append(f"{method} {path[:40]!r}: {problem or reply.code}")
            elif reply.status not in (404, 405):
                found.append(f"{method} {path[:40]!r}: {reply.status}")
    assert found == []
    assert await _unchanged(wire, before) == []


FORM = (b"content-type", b"application/x-www-form-urlencoded")
NO_FORM: dict[str, tuple[bytes, Header]] = {
    "JSON": (b"{}", JSON),
    "multipart": (b"--x", (b"content-type", b"multipart/form-data; boundary=x")),
    "raw bytes": (b"identifier=\xff\xfe", FORM),
    "broken escapes": (b"identifier=%ff%fe&password=x", FORM),
    "a NUL": (b"identifier=a%00b&password=x", FORM),
    "a field twice": (b"identifier=a&identifier=b", FORM),
    "too many fields": (b"&".join(b"f%d=x" % n for n in range(200)), FORM),
    "too much": (b"identifier=" + b"a" * 40_000, FORM),
    "no CSRF token": (b"identifier=a&password=b", FORM),
    "a wrong CSRF token": (b"identifier=a&password=b&csrf=" + b"A" * 64, FORM),
    "nothing": (b"", FORM),
}


async def test_pages_refuse_what_is_no_form(wire: Wire) -> None:
    pages = ("login", "register", "forgot", "reset", "verify", "account/end", "logout")
    before, found = await wire.tables(), []
    for page in pages:
        for name, (content, header) in NO_FORM.items():
            for caller in ([], wire.session[:1]):  # nobody, and the cookie alone
                reply = await wire.send("POST", f"/auth/ui/{page}", [*caller, header], body=content)
                if not 400 <= reply.status < 500 or b"Traceback" in reply.content:
                    found.append(f"{page}, {name}: {reply.status} {reply.content[:100]!r}")
        for query in (b"ticket=%00", b"ticket=" + b"x" * 9000, b"next=%ff", b"ticket=a&ticket=b", b"next=%0d%0aX:y"):
            reply = await wire.send("GET", f"/auth/ui/{page}", query=query)
            if reply.status >= 500 or b"Traceback" in reply.content:
                found.append(f"{page}?{query[:20]!r}: {reply.status}")
    assert found == []
    assert await _unchanged(wire, before) == []
