"""The first schema."""

from __future__ import annotations

import secrets

import sqlalchemy as sa
from alembic import op

from admit.stores.sql.schema import metadata

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    metadata.create_all(op.get_bind(), checkfirst=False)
    op.get_bind().execute(
        sa.text("INSERT INTO admit_meta (name, value) VALUES ('identity', :value)"), {"value": secrets.token_hex(16)}
    )
    op.execute(sa.text("INSERT INTO admit_tenants (id, name) VALUES (1, 'default')"))
    # the built-in sign-in is a client like any other, so that every token has a grant and "same client" one meaning
    op.get_bind().execute(
        sa.text(
            "INSERT INTO admit_clients (tenant, id, client_id, name, first_party, public, created_at)"
            " VALUES (1, :id, 'admit', 'Sign-in', 1, 1, 0)"
        ),
        {"id": bytes(15) + b"\x01"},
    )


def downgrade() -> None:
    metadata.drop_all(op.get_bind())
