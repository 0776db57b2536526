"""Who may do what: scopes, roles, and the one rule that combines them."""

from admit.rights.scopes import Rights, join, split

__all__ = ["Rights", "join", "split"]
