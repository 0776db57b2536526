"""What people do, each in one readable order. The only callers of people and credentials together."""

#: private reasons whose refusal has been written as an event by the flow itself: nobody writes it a second time
RECORDED: frozenset[str] = frozenset(
    {
        "login.unknown", "login.password", "login.no_password", "login.disabled", "login.password_disabled",
        "login.unverified", "login.changed", "login.limited_address", "login.limited_identifier", "login.waiting",
        "password.current", "reauthenticate.password", "people.delete_password",
    }
)  # fmt: skip
