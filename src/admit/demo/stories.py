"""Four stories, one per strategy (mission S1), as `curl` lines: what is printed is what `.admit/stories.sh` runs."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass

from admit.demo.accounts import Cast

_HEAD = """\
#!/usr/bin/env bash
# The stories of the demo. Run them while it runs: bash -eu {file}
# Written by `admit demo` at each start. It holds the passwords of this demo: keep it to yourself.
set -eu
url={url}
jar=$(mktemp -d)
trap 'rm -rf "$jar"' EXIT

# one member of the JSON answer that comes in
field() {{ sed -n 's/.*"'"$1"'": *"\\{{0,1\\}}\\([^",}}]*\\).*/\\1/p'; }}

# an answer that must be this refusal: refused 403 curl ...
refused() {{
  local want=$1 got; shift
  if got=$("$@" -w '\\n%{{http_code}}' 2>/dev/null); then echo "not refused: $got"; return 1; fi
  echo "$got"
  [ "${{got##*$'\\n'}}" = "$want" ] || {{ echo "expected $want"; return 1; }}
}}

say() {{ printf '\\n\\033[1m%s\\033[0m\\n' "$*"; }}
"""


@dataclass(frozen=True, slots=True)
class Story:
    """A strategy, whom it is for, and its lines."""

    title: str
    text: str
    lines: str


def stories(cast: Cast) -> tuple[Story, ...]:
    """The four stories, with the secrets of this demo in them."""
    return (_jwt(cast), _session(cast), _api_key(cast), _spa(cast))


def script(told: tuple[Story, ...], url: str, file: str) -> str:
    """All stories as one script, which ends with 0 when every answer is the expected one, refusals included."""
    parts = [_HEAD.format(url=shlex.quote(url), file=file)]
    for number, story in enumerate(told, 1):
        parts.append(f"say {shlex.quote(f'{number}. {story.title}')}\n# {story.text}\n{story.lines}")
    return "\n".join(parts) + "\nsay 'All four stories went as told.'\n"


def _jwt(cast: Cast) -> Story:
    return Story(
        "JWT, for a mobile app",
        "A short access token and a refresh token that works once.",
        f"""\
tokens=$({_login(cast, "member", "tokens")})
access=$(echo "$tokens" | field access_token) refresh=$(echo "$tokens" | field refresh_token)

curl -sS --fail-with-body "$url/posts" -H "Authorization: Bearer $access"; echo

# a member may read, and not delete: 403
refused 403 curl -sS --fail-with-body -X DELETE "$url/posts/1" -H "Authorization: Bearer $access"

# the refresh token gives a new pair, and so does its successor
tokens=$(curl -sS --fail-with-body "$url/auth/refresh" --json '{{"refresh_token": "'"$refresh"'"}}')
access=$(echo "$tokens" | field access_token) next=$(echo "$tokens" | field refresh_token)
curl -sS --fail-with-body "$url/auth/refresh" --json '{{"refresh_token": "'"$next"'"}}' > /dev/null

# whoever brings the first one again has stolen it, or was stolen from: 401, and the whole family ends
refused 401 curl -sS --fail-with-body "$url/auth/refresh" --json '{{"refresh_token": "'"$refresh"'"}}'
refused 401 curl -sS --fail-with-body "$url/posts" -H "Authorization: Bearer $access"
""",
    )


def _session(cast: Cast) -> Story:
    return Story(
        "Session, for a web application on the same domain",
        "A cookie that scripts cannot read, and a CSRF token for everything that changes something.",
        f"""\
csrf=$({_login(cast, "editor", "session")} -c "$jar/cookies" | field csrf_token)

curl -sS --fail-with-body "$url/posts" -b "$jar/cookies"; echo

# without the CSRF token: 403
refused 403 curl -sS --fail-with-body "$url/posts" -b "$jar/cookies" --json '{_POST}'

# with it: 201
id=$(curl -sS --fail-with-body "$url/posts" -b "$jar/cookies" -H "X-CSRF-Token: $csrf" --json '{_POST}' | field id)
curl -sS --fail-with-body -X DELETE "$url/posts/$id" -b "$jar/cookies" -H "X-CSRF-Token: $csrf"

# after signing out the same cookie is worth nothing: 401
curl -sS --fail-with-body -X POST "$url/auth/logout" -b "$jar/cookies" -H "X-CSRF-Token: $csrf"
refused 401 curl -sS --fail-with-body "$url/posts" -b "$jar/cookies"
""",
    )


def _api_key(cast: Cast) -> Story:
    return Story(
        "API key, for one service that calls another",
        'A key of a service account, called "Production Server". It may read and write, not delete.',
        f"""\
key={cast.api_key}

id=$(curl -sS --fail-with-body "$url/posts" -H "X-API-Key: $key" --json '{_POST}' | field id)
curl -sS --fail-with-body "$url/posts/$id" -H "X-API-Key: $key"; echo

# its owner may delete, the key may not: 403
refused 403 curl -sS --fail-with-body -X DELETE "$url/posts/$id" -H "X-API-Key: $key"

# one letter off: 401, found out by its checksum before anything is looked up
refused 401 curl -sS --fail-with-body "$url/posts" -H "X-API-Key: ${{key}}x"
""",
    )


def _spa(cast: Cast) -> Story:
    return Story(
        "Single-page app: the access token in memory, the refresh token in a cookie",
        "Stands where OAuth 2.0 for third parties will stand: the authorization server comes with the next release.",
        f"""\
answer=$({_login(cast, "editor", "spa")} -c "$jar/spa")
access=$(echo "$answer" | field access_token) csrf=$(echo "$answer" | field csrf_token)

id=$(curl -sS --fail-with-body "$url/posts" -H "Authorization: Bearer $access" --json '{_POST}' | field id)

# the page was loaded again and the token is gone: the cookie alone is not enough, 403
refused 403 curl -sS --fail-with-body -X POST "$url/auth/refresh" -b "$jar/spa"

# with the CSRF token it gives a new access token; the new refresh token is in the cookie again
answer=$(curl -sS --fail-with-body -X POST "$url/auth/refresh" -b "$jar/spa" -c "$jar/spa" -H "X-CSRF-Token: $csrf")
access=$(echo "$answer" | field access_token)
curl -sS --fail-with-body -X DELETE "$url/posts/$id" -H "Authorization: Bearer $access"

# no credential at all: 401
refused 401 curl -sS --fail-with-body "$url/posts"
""",
    )


_POST = json.dumps({"title": "From a story", "body": "Written with curl"})


def _login(cast: Cast, username: str, deliver: str) -> str:
    body = json.dumps({"identifier": username, "password": cast.password(username), "deliver": deliver})
    return f"""curl -sS --fail-with-body "$url/auth/login" --json '{body}'"""
