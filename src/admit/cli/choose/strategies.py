"""The decision matrix and the tree, as data: what each strategy is best for, what it costs, who gets which."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Client = Literal["mobile", "spa", "third-party", "service", "web"]
Name = Literal["jwt", "oauth", "api-keys", "sessions"]

#: who calls the API, in the words of the question
CLIENTS: dict[Client, str] = {
    "mobile": "a mobile or desktop app of yours",
    "spa": "a single-page application of yours, in the browser",
    "third-party": "programs of others, on behalf of your users",
    "service": "other services or scripts, on their own behalf",
    "web": "a web application of yours: pages from a server, in the browser",
}


@dataclass(frozen=True, slots=True)
class Strategy:
    """One row of the matrix. `not_yet`: what of it this version does not have."""

    name: Name
    title: str
    best_for: str
    pros: tuple[str, ...]
    cons: tuple[str, ...]
    not_yet: str = ""

    def json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "strategy": self.name, "title": self.title, "best_for": self.best_for, "pros": list(self.pros),
            "cons": list(self.cons), "not_yet": self.not_yet or None,
        }  # fmt: skip


STRATEGIES: dict[Name, Strategy] = {
    strategy.name: strategy
    for strategy in (
        Strategy(
            "jwt", "JWT with refresh tokens",
            "mobile apps and single-page applications; APIs that several services verify",
            (
                "any service verifies a token with a public key, without asking anybody",
                "works across domains, and where there are no cookies",
                "carries scopes and claims of yours",
            ),
            (
                "a service without the database sees a revocation only when the token expires (15 minutes)",
                "the client must keep two tokens safely and refresh in time",
                "whoever holds a token can read it: nothing sensitive belongs in it",
            ),
        ),
        Strategy(
            "oauth", "OAuth 2.0",
            "programs of others that act for your users; signing in with another provider",
            (
                "nobody gives their password to a third party",
                "users see what is asked for, allow part of it, and take it back",
                "a standard that libraries of every language speak",
            ),
            (
                "the most parts: clients, consent, codes, redirects",
                "a wrong redirect address or a missing check gives accounts away",
                "more than is needed where the client is your own",
            ),
            "Admit's OAuth server (consent, codes, client credentials) comes in a later release. The project "
            "that is written now is the API behind it: it verifies access tokens by the issuer's keys, with scopes.",
        ),
        Strategy(
            "api-keys", "API keys",
            "service to service, scripts, CI: no person is there to sign in",
            (
                "one header; nothing to refresh",
                "each program has its own: named, scoped, limited, revoked alone",
                "revoked at once",
            ),
            (
                "long-lived: a leaked key works until somebody notices",
                "it says which program calls, not which person",
                "somebody must hand it over and rotate it",
            ),
        ),
        Strategy(
            "sessions", "Sessions in a cookie",
            "web applications whose pages and API share a domain",
            (
                "scripts cannot read the credential (httpOnly)",
                "revoked at once, everywhere",
                "the browser does the work",
            ),
            (
                "needs protection against cross-site requests (built in)",
                "needs a store that every server asks",
                "not for other domains, apps or programs",
            ),
        ),
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Choice:
    """A strategy and why it was chosen."""

    client: Client
    strategy: Strategy
    why: str


def choose(client: Client, *, same_domain: bool = True, for_users: bool = True) -> Choice:
    """The tree. `same_domain`: a web application's pages and API share a domain. `for_users`: programs of others act
    for your users, not for themselves.
    """
    if client in ("mobile", "spa"):
        where = "An app has no cookies to speak of" if client == "mobile" else "Scripts call the API directly"
        return Choice(
            client, STRATEGIES["jwt"], f"{where}, so it carries a short token and renews it with a second one."
        )
    if client == "third-party" and for_users:
        why = "Others act for your users, who must be asked, and must never give them a password."
        return Choice(client, STRATEGIES["oauth"], why)
    if client in ("third-party", "service"):
        who = "A partner's program speaks for itself" if client == "third-party" else "No person is there to sign in"
        return Choice(client, STRATEGIES["api-keys"], f"{who}: a key of its own, with scopes and a limit, is enough.")
    if not same_domain:
        why = "Browsers keep cookies from other domains ever less, so the pages carry a token instead."
        return Choice(client, STRATEGIES["jwt"], why)
    why = "Pages and API share a domain: a cookie that scripts cannot read is the simplest thing that is safe."
    return Choice(client, STRATEGIES["sessions"], why)
