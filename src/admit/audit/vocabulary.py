"""Our event types in the words of the OWASP Logging Vocabulary, for whoever reads logs of many systems."""

from __future__ import annotations

from collections.abc import Mapping

from admit.ground.codes import REASONS

_TYPES: Mapping[str, str] = {
    "account.registered": "user_created",
    "account.profile_changed": "user_updated",
    "account.disabled": "user_updated",
    "account.enabled": "user_updated",
    "account.deleted": "user_deleted",
    "account.email_verified": "user_updated",
    "account.imported": "user_created",
    "account.roles_changed": "privilege_permissions_changed",
    "service_account.created": "user_created",
    "password.changed": "authn_password_change",
    "password.reset": "authn_password_change",
    "password.disabled": "authn_login_fail_max",
    "login.succeeded": "authn_login_success",
    "login.failed": "authn_login_fail",
    "login.reauthenticated": "authn_login_success",
    "session.started": "session_created",
    "session.rotated": "session_renewed",
    "session.ended": "session_expired",
    "grant.started": "authn_token_created",
    "grant.ended": "authn_token_revoked",
    "refresh.rotated": "authn_token_created",
    "refresh.reused": "authn_token_reuse",
    "api_key.created": "authn_token_created",
    "api_key.rotated": "authn_token_created",
    "api_key.revoked": "authn_token_revoked",
    "signing_key.revoked": "authn_token_revoked",
    "fence.raised": "authn_token_revoked",
}
_CODES: Mapping[str, str] = {
    "rate_limited": "excess_rate_limit_exceeded",
    "insufficient_scope": "authz_fail",
    "step_up_required": "authz_fail",
    "session_expired": "session_use_after_expire",
    "invalid_input": "input_validation_fail",
    "bad_request": "input_validation_fail",
    "csrf_missing": "malicious_cors",
    "csrf_invalid": "malicious_cors",
    "csrf_cross_site": "malicious_cors",
}


def vocabulary(type_: str, reason: str | None) -> str | None:
    """The vocabulary's name of an event, or None where it has none. A refusal's reason says more than its type."""
    code = REASONS.get(reason or "")
    return _CODES.get(code or "") or _TYPES.get(type_)
