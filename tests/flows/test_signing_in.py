"""Sign in, refresh, sign out, in each way of delivery and in each mount."""

from __future__ import annotations

import pytest

from tests.flows.stand import Stand, login


async def test_smoke(stand: Stand) -> None:
    await stand.person()
    client = stand.caller()
    answer = await login(client)
    assert answer.status_code == 200, answer.text
    client = await stand.signed_in(deliver="cookie")
    answer = await client.post("/auth/refresh")
    assert answer.status_code == 200, answer.text
    assert (await client.get("/protected")).json()["by"] == "access_token"
