"""What each private reason means, in plain words for operators, and what to do. A test holds it complete."""

from __future__ import annotations

from typing import NamedTuple


class Help(NamedTuple):
    """`meaning`: what happened. `mend`: what an operator or the caller can do about it."""

    meaning: str
    mend: str


REASON_HELP: dict[str, Help] = {
    # web: reading the request
    "request.unreadable": Help(
        "The request, or one of its headers, could not be read: broken encoding, broken JSON, a field given twice.",
        "Look at what the client sends; the private text of the event names the place.",
    ),
    "request.too_large": Help(
        "The body was larger than this route takes.",
        "Send less, or raise the limit of the route if the size is meant.",
    ),
    "request.media_type": Help(
        "The body came with a media type that this route does not read.",
        "Send Content-Type: application/json.",
    ),
    "request.invalid": Help(
        "The body was readable, but fields are missing, unknown or of the wrong form.",
        "The answer names the fields; compare with the API description.",
    ),
    "request.host": Help(
        "The Host header names a host that is not served here.",
        "Add the name to ADMIT_HOSTS if it is yours; otherwise someone probes.",
    ),
    "request.not_found": Help(
        "There is no such route.",
        "Check the path and the prefix under which Admit is mounted.",
    ),
    "request.method": Help(
        "The route exists, but not with this method.",
        "The Allow header names the methods.",
    ),
    "request.insecure": Help(
        "A credential came over plain http from outside this machine.",
        "Call the https address; behind a proxy set ADMIT_TRUSTED_PROXIES so that its https is believed.",
    ),
    "request.origin": Help(
        "A browser sent the request from another site.",
        "Call from the site itself, or add its exact origin to the CORS list.",
    ),
    "request.internal": Help(
        "An unexpected error happened here; nothing was let through.",
        "Look for the log line with this request id: it holds the traceback.",
    ),
    "request.unavailable": Help(
        "A part that the answer depends on was down or overloaded.",
        "Look at /readyz and the log for the part; clients may try again.",
    ),
    # who is calling
    "resolver.none": Help(
        "The route needs a caller, and the request carried no credential.",
        "Send an access token, an API key or a session cookie.",
    ),
    "resolver.ambiguous": Help(
        "The request carried more than one explicit credential.",
        "Send exactly one: Authorization or X-API-Key, not both.",
    ),
    "resolver.bearer_malformed": Help(
        "The Authorization header is not one Bearer credential.",
        "Send `Authorization: Bearer <token>` once, with one space.",
    ),
    "resolver.api_key_malformed": Help(
        "The API key header is empty or given more than once.",
        "Send the key once, unchanged.",
    ),
    "csrf.missing": Help(
        "A cookie identified the caller and the request changes something, but no CSRF token came with it.",
        "Fetch /auth/csrf and send its token in X-CSRF-Token.",
    ),
    "csrf.malformed": Help(
        "The CSRF token is not one that we could have made.",
        "Send the token of /auth/csrf unchanged.",
    ),
    "csrf.other_credential": Help(
        "The CSRF token belongs to another session, or to the one before the last sign-in.",
        "Fetch a new token after each sign-in.",
    ),
    "csrf.fetch_site": Help(
        "The browser says that another site sent this request.",
        "If that site is yours, add its exact origin to the CORS list; otherwise it was an attack or a stray link.",
    ),
    "csrf.origin": Help(
        "The Origin header names a site that is not allowed.",
        "If that site is yours, add its exact origin to the CORS list.",
    ),
    "csrf.websocket_origin": Help(
        "A WebSocket with a cookie was opened from a site that is not allowed.",
        "If that site is yours, add its exact origin to the CORS list.",
    ),
    # rights
    "rights.scope": Help(
        "The caller is known, but lacks a scope that the route needs.",
        "Grant a role that holds the scope, or ask for it when the token or key is made. The event names it.",
    ),
    "rights.max_age": Help(
        "The route wants a recent sign-in, and this one is too old.",
        "The person confirms who they are (/auth/reauthenticate) and tries again.",
    ),
    "rights.level": Help(
        "The route wants a stronger sign-in than this one.",
        "The person signs in with a second factor.",
    ),
    "rights.scope_unknown": Help(
        "A scope was asked for that is not registered.",
        "Register it in the settings, or correct its spelling.",
    ),
    "rights.scope_not_held": Help(
        "A scope was asked for that the person or client does not hold.",
        "Grant a role that holds it first.",
    ),
    "rights.audience": Help(
        "The token was issued for another service.",
        "Ask for a token for this audience.",
    ),
    "rights.subject_kind": Help(
        "The route is for persons (or for services), and the caller is of the other kind.",
        "Call it with a credential of the right kind of account.",
    ),
    "rights.credential_kind": Help(
        "The route does not take this kind of credential.",
        "Use the kind that the route names, for example a session instead of an API key.",
    ),
    # JWT
    "jwt.too_long": Help(
        "The token is longer than any that we issue.",
        "The client sends something else than our token, or claims grew too large.",
    ),
    "jwt.malformed": Help(
        "The text is not a JWT.",
        "Check that the client sends the access token, whole and unquoted.",
    ),
    "jwt.header": Help(
        "The header of the token has members that we refuse.",
        "A token of ours never has them: find out who made it.",
    ),
    "jwt.algorithm": Help(
        "The token names an algorithm that is not allowed here.",
        "It is not ours, or from before a change of algorithm: sign in again. `none` is an attack.",
    ),
    "jwt.kid": Help(
        "The token names a signing key that is not known here.",
        "It is from another environment, or its key was retired: sign in again.",
    ),
    "jwt.key_revoked": Help(
        "The signing key of this token was revoked.",
        "Sign in again; this is what revoking the key was for.",
    ),
    "jwt.signature": Help(
        "The signature does not fit the token: changed on its way, made elsewhere, or forged.",
        "Compare issuer and environment of the client; many of these from one address are an attack.",
    ),
    "jwt.claims": Help(
        "Claims are missing or of the wrong type.",
        "A token of ours never looks so: find out who made it.",
    ),
    "jwt.issuer": Help(
        "The token was issued by somebody else.",
        "The client points at another environment; compare ADMIT_ISSUER.",
    ),
    "jwt.audience": Help(
        "The token is meant for another audience.",
        "Compare tokens.audience with the service that the client calls.",
    ),
    "jwt.type": Help(
        "The token is genuine, but of another kind, for example an ID token.",
        "Send the access token.",
    ),
    "jwt.no_expiry": Help(
        "The token has no expiry.",
        "A token of ours always has one: find out who made it.",
    ),
    "jwt.expired": Help(
        "The access token has expired, as it should.",
        "The client refreshes; if it just did, its or our clock is wrong.",
    ),
    "jwt.not_yet": Help(
        "The token is not valid yet.",
        "Compare the clocks of the nodes.",
    ),
    "jwt.issued_ahead": Help(
        "The token was issued in the future.",
        "Compare the clocks of the nodes.",
    ),
    "jwt.subject": Help(
        "The subject of the token is not one of ours.",
        "A token of ours never looks so: find out who made it.",
    ),
    "jwt.binding": Help(
        "The token is bound to a key that the client did not prove.",
        "The client sends its proof with the token; without the key the token may be stolen.",
    ),
    # credentials against the truth
    "access.unknown": Help(
        "No grant stands behind this access token.",
        "It is from another database, or was cleaned up: sign in again.",
    ),
    "access.grant_ended": Help(
        "The grant behind this token ended: logout, password change, reuse of a refresh token, or an administrator.",
        "Look at the events of the grant to see which; sign in again.",
    ),
    "access.subject_disabled": Help(
        "The account is disabled or deleted.",
        "`admit users enable`, if that is meant.",
    ),
    "access.client_disabled": Help(
        "The client application is disabled.",
        "Enable the client, if that is meant.",
    ),
    "access.changed": Help(
        "While the request was at work, something that its credential hangs on was changed or ended.",
        "Try again; if the credential was ended, sign in again.",
    ),
    "access.fenced": Help(
        "The token is from before `admit fence` was raised after a restore.",
        "Sign in again.",
    ),
    "session.malformed": Help(
        "The session cookie is not one that we could have set.",
        "Another application uses the same cookie name, or someone tries values.",
    ),
    "session.unknown": Help(
        "There is no such session.",
        "It was cleaned up, or the cookie is from another environment: sign in again.",
    ),
    "session.ended": Help(
        "The session was ended: logout, password change, or from the list of sessions.",
        "Look at the events of the session to see which; sign in again.",
    ),
    "session.expired": Help(
        "The session reached its longest life.",
        "Sign in again.",
    ),
    "session.idle": Help(
        "The session was not used for too long.",
        "Sign in again.",
    ),
    "session.lost": Help(
        "Valkey has no use of this session on record, or one from before its newest secret.",
        "Sign in again. Many lost at once: Valkey was emptied or restored, or evicts keys.",
    ),
    "session.subject_disabled": Help(
        "The account is disabled or deleted.",
        "`admit users enable`, if that is meant.",
    ),
    "session.fenced": Help(
        "The session is from before `admit fence` was raised after a restore.",
        "Sign in again.",
    ),
    "api_key.malformed": Help(
        "The text is not an API key of ours.",
        "Check that the client sends the whole key.",
    ),
    "api_key.checksum": Help(
        "The checksum of the key is wrong: a typing error, or cut off.",
        "Copy the key again.",
    ),
    "api_key.environment": Help(
        "The key is of another environment, for example a test key in production.",
        "Use a key of this environment.",
    ),
    "api_key.unknown": Help(
        "No such key, or its secret is wrong.",
        "Copy the key again; many of these from one address are guesses.",
    ),
    "api_key.revoked": Help(
        "The key was revoked.",
        "Make a new one.",
    ),
    "api_key.retired": Help(
        "The secret was rotated, and its overlap is over.",
        "Roll out the new secret of the same key.",
    ),
    "api_key.expired": Help(
        "The key has expired.",
        "Make a new one, or set a later expiry before the day.",
    ),
    "api_key.disabled": Help(
        "The key is disabled.",
        "Enable it, if that is meant.",
    ),
    "api_key.owner_disabled": Help(
        "The owner of the key is disabled or deleted.",
        "Enable the owner, or make the key for a service account.",
    ),
    "api_key.limited": Help(
        "The key used up its own limit.",
        "Slow down, or raise the limit of the key.",
    ),
    "api_key.fenced": Help(
        "The key is from before `admit fence` was raised after a restore.",
        "Make a new one.",
    ),
    "api_key.not_found": Help(
        "There is no such key, or it is another person's.",
        "List the keys of the signed-in person.",
    ),
    "api_key.name": Help(
        "The name of the key is missing, too long or not printable.",
        "Choose another name.",
    ),
    "api_key.expiry": Help(
        "The expiry of the key lies in the past or too far ahead.",
        "Choose another time.",
    ),
    "api_key.limit": Help(
        "The limit that was asked for the key is not possible.",
        "Choose a whole number above zero.",
    ),
    "api_key.overlap": Help(
        "The overlap that was asked for a rotation is not possible.",
        "Choose an overlap within the allowed range.",
    ),
    "api_key.too_many": Help(
        "The owner has as many keys as are allowed.",
        "Revoke keys that are no longer used, or raise api_keys.max_per_owner.",
    ),
    "api_key.owner_inactive": Help(
        "The account that shall own the key is not active.",
        "Enable it first.",
    ),
    # a service without our database
    "verifier.token": Help(
        "The issuer, asked about an access token because something behind it had changed, said that it is not alive.",
        "Ask the issuer's log for the reason; usually the sign-in was ended or the account disabled.",
    ),
    "verifier.token_expired": Help(
        "The issuer, asked about an access token, said that it has expired: its clock is ahead of this service's.",
        "Set the clock of this service (NTP).",
    ),
    "verifier.unlinked": Help(
        "The access token names no grant and account of Admit, so nobody could ever revoke it.",
        "Tokens of another issuer are verified with `Admit.remote(..., offline=True)`.",
    ),
    "verifier.api_key": Help(
        "The issuer does not know this API key, or it was revoked.",
        "Ask the issuer's log for the reason.",
    ),
    "verifier.api_key_expired": Help(
        "The issuer says that this API key, or its old text after a rotation, has expired.",
        "Rotate the key, or take the new text.",
    ),
    "verifier.api_key_disabled": Help(
        "The issuer says that this API key or its owner is disabled.",
        "Enable it at the issuer if that is meant.",
    ),
    "verifier.api_key_offline": Help(
        "An API key was sent to a service that verifies offline; a key proves nothing without its issuer.",
        "Give the service a key with the scope admit:verify, or send an access token.",
    ),
    "refresh.absent": Help(
        "No refresh token came, neither in the body nor as a cookie.",
        "Send refresh_token, or the cookie with the request.",
    ),
    "refresh.malformed": Help(
        "The text is not a refresh token of ours.",
        "Check that the client sends the refresh token, not the access token.",
    ),
    "refresh.unknown": Help(
        "There is no such family of refresh tokens.",
        "It was cleaned up, or is from another environment: sign in again.",
    ),
    "refresh.proof": Help(
        "The token names a family without knowing its proof: it was made up.",
        "Watch the address; nothing was changed.",
    ),
    "refresh.client": Help(
        "Another client sent the token than the one it was issued to.",
        "Tokens do not move between clients; if none of yours did it, the token was stolen.",
    ),
    "refresh.expired": Help(
        "The family reached its longest life.",
        "Sign in again.",
    ),
    "refresh.idle": Help(
        "The refresh token was not used for too long.",
        "Sign in again.",
    ),
    "refresh.family_ended": Help(
        "The grant behind this token ended earlier.",
        "Look at the events of the grant to see why; sign in again.",
    ),
    "refresh.fenced": Help(
        "The grant is from before `admit fence` was raised after a restore.",
        "Sign in again.",
    ),
    "refresh.reused": Help(
        "A used refresh token came back, so everything issued from it was ended.",
        "Two holders of one token: a thief, or a client that keeps old tokens. Compare both addresses; sign in again.",
    ),
    "refresh.subject_disabled": Help(
        "The account is disabled or deleted.",
        "`admit users enable`, if that is meant.",
    ),
    "refresh.scope": Help(
        "More scopes were asked for than the grant holds.",
        "Ask for the same or fewer; for more, sign in again.",
    ),
    "grant.not_found": Help(
        "There is no such grant, or it is another person's.",
        "List the grants of the signed-in person.",
    ),
    "session.not_found": Help(
        "There is no such session, or it is another person's.",
        "List the sessions of the signed-in person.",
    ),
    "ticket.malformed": Help(
        "The link is incomplete: cut off by a mail program, or made up.",
        "Open the whole link.",
    ),
    "ticket.unknown": Help(
        "There is no such link, or it was cleaned up.",
        "Ask for a new one.",
    ),
    "ticket.used": Help(
        "The link was used already.",
        "Ask for a new one. Mail scanners that open links do not use them up: using takes a click on the page.",
    ),
    "ticket.purpose": Help(
        "The link is for another purpose.",
        "Open it on the page it was made for.",
    ),
    "ticket.expired": Help(
        "The link is too old.",
        "Ask for a new one.",
    ),
    # people
    "login.unknown": Help(
        "No account has this name or address.",
        "The person checks the spelling. Many names from one address are credential stuffing: see the findings.",
    ),
    "login.password": Help(
        "The password is wrong.",
        "The person tries again or resets it. Many accounts from one address are password spraying: see the findings.",
    ),
    "login.no_password": Help(
        "The account has no password: it signs in another way, or is a service account.",
        "The person uses the other way, or sets a password by a reset link.",
    ),
    "login.disabled": Help(
        "The account is disabled.",
        "`admit users enable`, if that is meant.",
    ),
    "login.password_disabled": Help(
        "After too many failures in a row the password no longer works.",
        "The person resets it by mail; the account itself was never locked.",
    ),
    "login.unverified": Help(
        "The address is not verified, and the settings demand it.",
        "The person opens the link in the mail, or asks for a new one.",
    ),
    "login.limited_address": Help(
        "Too many sign-ins from one address.",
        "Wait. Behind a proxy set ADMIT_TRUSTED_PROXIES, or everybody shares the proxy's address.",
    ),
    "login.limited_identifier": Help(
        "Too many sign-ins for one name.",
        "Wait; a known device is spared. Someone else may be guessing this person's password.",
    ),
    "login.waiting": Help(
        "After several failures in a row the next try must wait.",
        "Wait as long as Retry-After says.",
    ),
    "login.changed": Help(
        "The password was changed while this sign-in was being checked.",
        "Sign in with the new password.",
    ),
    "login.deliver": Help(
        "The client asked for a delivery that does not exist.",
        "One of tokens, cookie, session, spa.",
    ),
    "reauthenticate.password": Help(
        "The password that should confirm the person is wrong.",
        "The person tries again.",
    ),
    "reauthenticate.ended": Help(
        "The session ended while the person confirmed who they are.",
        "Sign in again.",
    ),
    "proof.limited": Help(
        "Too many proofs of identity in a short time.",
        "Wait.",
    ),
    "proof.waiting": Help(
        "After several failed proofs the next try must wait.",
        "Wait as long as Retry-After says.",
    ),
    "proof.changed": Help(
        "The password was changed while it was being proved again.",
        "Repeat the request with the new password.",
    ),
    "register.limited": Help(
        "Too many registrations from one address.",
        "Wait.",
    ),
    "register.refused": Help(
        "The application's own `may_register` said no.",
        "Its private text says why.",
    ),
    "register.closed": Help(
        "Registration is switched off.",
        "Set ADMIT_REGISTRATION=true, or create the account with `admit users create`.",
    ),
    "register.username_taken": Help(
        "The user name is taken.",
        "Choose another; user names are public.",
    ),
    "register.identifier": Help(
        "The name or address cannot be used: missing, too long, or of the wrong form.",
        "The answer names the field.",
    ),
    "forgot.limited": Help(
        "Too many reset links were asked for.",
        "Wait.",
    ),
    "email.limited": Help(
        "Too many mails were asked for.",
        "Wait.",
    ),
    "email.not_in_use": Help(
        "Accounts here have no e-mail addresses.",
        "Add email to ADMIT_IDENTIFIERS, or leave the address out.",
    ),
    "email.taken": Help(
        "Another account took the new address before its link was opened.",
        "Choose another address; the old one still counts.",
    ),
    "password.current": Help(
        "The present password is wrong.",
        "The person tries again.",
    ),
    "password.too_short": Help(
        "The new password is shorter than the policy wants.",
        "Choose a longer one.",
    ),
    "password.too_long": Help(
        "The new password is longer than can be used.",
        "Choose a shorter one.",
    ),
    "password.no_upper": Help(
        "The policy wants an upper-case letter.",
        "Add one, or take policy `nist`, which has no such rule.",
    ),
    "password.no_lower": Help(
        "The policy wants a lower-case letter.",
        "Add one, or take policy `nist`, which has no such rule.",
    ),
    "password.no_digit": Help(
        "The policy wants a digit.",
        "Add one, or take policy `nist`, which has no such rule.",
    ),
    "password.no_symbol": Help(
        "The policy wants a symbol.",
        "Add one, or take policy `nist`, which has no such rule.",
    ),
    "password.too_common": Help(
        "The password, after folding case and look-alike letters, is among the common ones.",
        "Choose another.",
    ),
    "password.like_username": Help(
        "The password holds the user name, or nearly.",
        "Choose another.",
    ),
    "password.context": Help(
        "The password holds the name of this service.",
        "Choose another; the words are passwords.context_words.",
    ),
    "password.unreadable": Help(
        "The password holds characters that cannot be used.",
        "Choose another.",
    ),
    "people.not_found": Help(
        "There is no such account.",
        "Check the identifier.",
    ),
    "people.conflict": Help(
        "The change is not possible in the present state of the account.",
        "The private text says why.",
    ),
    "people.last_admin": Help(
        "The change would leave nobody who can administer.",
        "Make another administrator first.",
    ),
    "people.profile": Help(
        "A profile field is unknown or of the wrong form.",
        "The answer names the field.",
    ),
    "people.role_unknown": Help(
        "There is no such role.",
        "Correct its spelling, or add it to the settings.",
    ),
    "people.role_not_held": Help(
        "Somebody tried to grant a role with rights that they do not have themselves.",
        "Someone who holds these rights grants it.",
    ),
    "people.delete_password": Help(
        "The password that should confirm the deletion is wrong.",
        "The person tries again.",
    ),
    # how often
    "limit.route": Help(
        "The caller used up the limit of this route.",
        "Wait as long as Retry-After says, or raise the limit.",
    ),
    "limit.address": Help(
        "The address used up its limit.",
        "Wait. Behind a proxy set ADMIT_TRUSTED_PROXIES, or everybody shares the proxy's address.",
    ),
}
