"""The first schema: frozen, so that a database made by this release is the same whatever `schema.py` becomes."""

from __future__ import annotations

import secrets

import sqlalchemy as sa
from alembic import op

from admit.stores.sql.types import Json, Serial, Xid, current_xid

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "admit_audit_blocks",
        sa.Column("height", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("root", sa.LargeBinary(32), nullable=False),
        sa.Column("previous", sa.LargeBinary(32), nullable=False),
        sa.Column("kid", sa.Text(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("height", name=op.f("pk_admit_audit_blocks")),
    )
    op.create_table(
        "admit_audit_log",
        sa.Column("height", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("leaf", sa.LargeBinary(32), nullable=False),
        sa.PrimaryKeyConstraint("height", "position", name=op.f("pk_admit_audit_log")),
    )
    op.create_index("uq_admit_audit_log_seq", "admit_audit_log", ["seq"], unique=True)
    op.create_table(
        "admit_claims",
        sa.Column("tenant", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "key", name=op.f("pk_admit_claims")),
    )
    op.create_index(op.f("ix_admit_claims_tenant_until"), "admit_claims", ["tenant", "until"], unique=False)
    op.create_table(
        "admit_clients",
        sa.Column("tenant", sa.Integer(), nullable=False),
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("first_party", sa.Integer(), server_default="0", nullable=False),
        sa.Column("public", sa.Integer(), server_default="1", nullable=False),
        sa.Column("version", sa.BigInteger(), server_default="1", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("disabled_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "id", name=op.f("pk_admit_clients")),
    )
    op.create_index("uq_admit_clients_client_id", "admit_clients", ["tenant", "client_id"], unique=True)
    op.create_table(
        "admit_cursors",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("state", Json, nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_admit_cursors")),
    )
    op.create_table(
        "admit_data_keys",
        sa.Column("tenant", sa.Integer(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "purpose", "number", name=op.f("pk_admit_data_keys")),
    )
    op.create_table(
        "admit_decoys",
        sa.Column("tenant", sa.Integer(), nullable=False),
        sa.Column("slot", sa.Integer(), nullable=False),
        sa.Column("failures", sa.BigInteger(), nullable=False),
        sa.Column("disabled_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "slot", name=op.f("pk_admit_decoys")),
    )
    op.create_table(
        "admit_event_persons",
        sa.Column("tenant", sa.Integer(), nullable=False),
        sa.Column("event_id", sa.LargeBinary(16), nullable=False),
        sa.Column("salt", sa.LargeBinary(16), nullable=False),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("agent", sa.Text(), nullable=True),
        sa.Column("identifier", sa.Text(), nullable=True),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "event_id", name=op.f("pk_admit_event_persons")),
    )
    op.create_index(
        op.f("ix_admit_event_persons_tenant_subject"), "admit_event_persons", ["tenant", "subject"], unique=False
    )
    op.create_table(
        "admit_events",
        sa.Column("seq", Serial, autoincrement=True, nullable=False),
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("tenant", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("actor", sa.Text(), nullable=True),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("credential", sa.Text(), nullable=True),
        sa.Column("client", sa.Text(), nullable=True),
        sa.Column("session", sa.Text(), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("count", sa.Integer(), server_default="1", nullable=False),
        sa.Column("data", Json, nullable=False),
        sa.Column("personal", sa.LargeBinary(32), nullable=True),
        sa.Column("xid", Xid(), server_default=current_xid(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_admit_events")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_admit_events_tenant_at"), "admit_events", ["tenant", "at"], unique=False)
    op.create_index(op.f("ix_admit_events_tenant_request_id"), "admit_events", ["tenant", "request_id"], unique=False)
    op.create_index(
        op.f("ix_admit_events_tenant_subject_at"), "admit_events", ["tenant", "subject", "at"], unique=False
    )
    op.create_index(op.f("ix_admit_events_xid"), "admit_events", ["xid"], unique=False)
    op.create_index("uq_admit_events_id", "admit_events", ["tenant", "id"], unique=True)
    op.create_table(
        "admit_findings",
        sa.Column("tenant", sa.Integer(), nullable=False),
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("detector", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("data", Json, nullable=False),
        sa.Column("first_at", sa.BigInteger(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
        sa.Column("closed_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "id", name=op.f("pk_admit_findings")),
    )
    op.create_index("uq_admit_findings_key", "admit_findings", ["tenant", "detector", "key"], unique=True)
    op.create_table(
        "admit_jobs",
        sa.Column("seq", Serial, autoincrement=True, nullable=False),
        sa.Column("tenant", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("data", Json, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("due", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("leased_until", sa.BigInteger(), nullable=True),
        sa.Column("done_at", sa.BigInteger(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_admit_jobs")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_admit_jobs_done_at_due"), "admit_jobs", ["done_at", "due"], unique=False)
    op.create_table(
        "admit_leases",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_admit_leases")),
    )
    op.create_table(
        "admit_limits",
        sa.Column("tenant", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("tat", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "key", name=op.f("pk_admit_limits")),
    )
    op.create_index(op.f("ix_admit_limits_tenant_tat"), "admit_limits", ["tenant", "tat"], unique=False)
    op.create_table(
        "admit_meta",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_admit_meta")),
    )
    op.create_table(
        "admit_outbox",
        sa.Column("seq", Serial, autoincrement=True, nullable=False),
        sa.Column("tenant", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("recipient", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_admit_outbox")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "admit_signing_keys",
        sa.Column("tenant", sa.Integer(), nullable=False),
        sa.Column("kid", sa.Text(), nullable=False),
        sa.Column("alg", sa.Text(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default="1", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("not_before", sa.BigInteger(), nullable=False),
        sa.Column("active_from", sa.BigInteger(), nullable=False),
        sa.Column("retire_at", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "kid", name=op.f("pk_admit_signing_keys")),
    )
    op.create_table(
        "admit_tenants",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default="1", nullable=False),
        sa.Column("fenced_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_admit_tenants")),
    )
    op.create_table(
        "admit_tickets",
        sa.Column("tenant", sa.Integer(), nullable=False),
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("user_id", sa.LargeBinary(16), nullable=True),
        sa.Column("data", Json, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("taken_at", sa.BigInteger(), nullable=True),
        sa.Column("taken_for", sa.LargeBinary(16), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "id", name=op.f("pk_admit_tickets")),
    )
    op.create_index(op.f("ix_admit_tickets_tenant_expires_at"), "admit_tickets", ["tenant", "expires_at"], unique=False)
    op.create_index(op.f("ix_admit_tickets_tenant_user_id"), "admit_tickets", ["tenant", "user_id"], unique=False)
    op.create_table(
        "admit_users",
        sa.Column("tenant", sa.Integer(), nullable=False),
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default="1", nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("roles", sa.Text(), server_default="", nullable=False),
        sa.Column("profile", Json, nullable=False),
        sa.Column("owner_id", sa.LargeBinary(16), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("disabled_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "id", name=op.f("pk_admit_users")),
    )
    op.create_table(
        "admit_voids",
        sa.Column("seq", Serial, autoincrement=True, nullable=False),
        sa.Column("tenant", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("tie_id", sa.LargeBinary(), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default="1", nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("xid", Xid(), server_default=current_xid(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_admit_voids")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_admit_voids_until"), "admit_voids", ["until"], unique=False)
    op.create_index(op.f("ix_admit_voids_xid"), "admit_voids", ["xid"], unique=False)
    op.create_table(
        "admit_waits",
        sa.Column("tenant", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("forget_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "key", name=op.f("pk_admit_waits")),
    )
    op.create_index(op.f("ix_admit_waits_tenant_forget_at"), "admit_waits", ["tenant", "forget_at"], unique=False)
    op.create_table(
        "admit_api_keys",
        sa.Column("tenant", sa.Integer(), nullable=False),
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("user_id", sa.LargeBinary(16), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("scopes", sa.Text(), server_default="", nullable=False),
        sa.Column("hint", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default="1", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("disabled_at", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.Column("limit_hits", sa.Integer(), nullable=True),
        sa.Column("limit_per", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant", "user_id"],
            ["admit_users.tenant", "admit_users.id"],
            name=op.f("fk_admit_api_keys_tenant_user_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant", "id", name=op.f("pk_admit_api_keys")),
    )
    op.create_index(
        op.f("ix_admit_api_keys_tenant_revoked_at"), "admit_api_keys", ["tenant", "revoked_at"], unique=False
    )
    op.create_index(op.f("ix_admit_api_keys_tenant_user_id"), "admit_api_keys", ["tenant", "user_id"], unique=False)
    op.create_table(
        "admit_devices",
        sa.Column("tenant", sa.Integer(), nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("user_id", sa.LargeBinary(16), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("agent", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant", "user_id"],
            ["admit_users.tenant", "admit_users.id"],
            name=op.f("fk_admit_devices_tenant_user_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant", "digest", name=op.f("pk_admit_devices")),
    )
    op.create_index(op.f("ix_admit_devices_tenant_expires_at"), "admit_devices", ["tenant", "expires_at"], unique=False)
    op.create_index(op.f("ix_admit_devices_tenant_user_id"), "admit_devices", ["tenant", "user_id"], unique=False)
    op.create_table(
        "admit_grants",
        sa.Column("tenant", sa.Integer(), nullable=False),
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("user_id", sa.LargeBinary(16), nullable=False),
        sa.Column("client_id", sa.LargeBinary(16), nullable=False),
        sa.Column("session_id", sa.LargeBinary(16), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("deliver", sa.Text(), server_default="tokens", nullable=False),
        sa.Column("scopes", sa.Text(), nullable=True),
        sa.Column("claims", Json, nullable=True),
        sa.Column("methods", sa.Text(), server_default="", nullable=False),
        sa.Column("version", sa.BigInteger(), server_default="1", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("agent", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant", "client_id"],
            ["admit_clients.tenant", "admit_clients.id"],
            name=op.f("fk_admit_grants_tenant_client_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant", "user_id"],
            ["admit_users.tenant", "admit_users.id"],
            name=op.f("fk_admit_grants_tenant_user_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant", "id", name=op.f("pk_admit_grants")),
    )
    op.create_index(op.f("ix_admit_grants_tenant_expires_at"), "admit_grants", ["tenant", "expires_at"], unique=False)
    op.create_index(op.f("ix_admit_grants_tenant_user_id"), "admit_grants", ["tenant", "user_id"], unique=False)
    op.create_table(
        "admit_identifiers",
        sa.Column("tenant", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("user_id", sa.LargeBinary(16), nullable=False),
        sa.Column("shown", sa.Text(), nullable=False),
        sa.Column("verified_at", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant", "user_id"],
            ["admit_users.tenant", "admit_users.id"],
            name=op.f("fk_admit_identifiers_tenant_user_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant", "kind", "value", name=op.f("pk_admit_identifiers")),
    )
    op.create_index(
        op.f("ix_admit_identifiers_tenant_user_id"), "admit_identifiers", ["tenant", "user_id"], unique=False
    )
    op.create_table(
        "admit_passwords",
        sa.Column("tenant", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.LargeBinary(16), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("disabled_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant", "user_id"],
            ["admit_users.tenant", "admit_users.id"],
            name=op.f("fk_admit_passwords_tenant_user_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant", "user_id", name=op.f("pk_admit_passwords")),
    )
    op.create_table(
        "admit_sessions",
        sa.Column("tenant", sa.Integer(), nullable=False),
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("user_id", sa.LargeBinary(16), nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default="1", nullable=False),
        sa.Column("methods", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("idle", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("agent", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant", "user_id"],
            ["admit_users.tenant", "admit_users.id"],
            name=op.f("fk_admit_sessions_tenant_user_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant", "id", name=op.f("pk_admit_sessions")),
    )
    op.create_index(
        op.f("ix_admit_sessions_tenant_expires_at"), "admit_sessions", ["tenant", "expires_at"], unique=False
    )
    op.create_index(op.f("ix_admit_sessions_tenant_user_id"), "admit_sessions", ["tenant", "user_id"], unique=False)
    op.create_index("uq_admit_sessions_digest", "admit_sessions", ["tenant", "digest"], unique=True)
    op.create_table(
        "admit_api_key_secrets",
        sa.Column("tenant", sa.Integer(), nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("key_id", sa.LargeBinary(16), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("retires_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant", "key_id"],
            ["admit_api_keys.tenant", "admit_api_keys.id"],
            name=op.f("fk_admit_api_key_secrets_tenant_key_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant", "digest", name=op.f("pk_admit_api_key_secrets")),
    )
    op.create_index(
        op.f("ix_admit_api_key_secrets_tenant_key_id"), "admit_api_key_secrets", ["tenant", "key_id"], unique=False
    )
    op.create_index(
        op.f("ix_admit_api_key_secrets_tenant_retires_at"),
        "admit_api_key_secrets",
        ["tenant", "retires_at"],
        unique=False,
    )
    op.create_table(
        "admit_api_key_usage",
        sa.Column("tenant", sa.Integer(), nullable=False),
        sa.Column("key_id", sa.LargeBinary(16), nullable=False),
        sa.Column("last_used_at", sa.BigInteger(), nullable=False),
        sa.Column("previous_used_at", sa.BigInteger(), nullable=True),
        sa.Column("uses", sa.BigInteger(), nullable=False),
        sa.Column("last_address", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant", "key_id"],
            ["admit_api_keys.tenant", "admit_api_keys.id"],
            name=op.f("fk_admit_api_key_usage_tenant_key_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant", "key_id", name=op.f("pk_admit_api_key_usage")),
    )
    op.create_table(
        "admit_families",
        sa.Column("tenant", sa.Integer(), nullable=False),
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("grant_id", sa.LargeBinary(16), nullable=False),
        sa.Column("proof", sa.LargeBinary(32), nullable=False),
        sa.Column("current", sa.LargeBinary(32), nullable=False),
        sa.Column("previous", sa.LargeBinary(32), nullable=True),
        sa.Column("nonce", sa.LargeBinary(32), nullable=True),
        sa.Column("rotated_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("idle_until", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant", "grant_id"],
            ["admit_grants.tenant", "admit_grants.id"],
            name=op.f("fk_admit_families_tenant_grant_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant", "id", name=op.f("pk_admit_families")),
    )
    op.create_index(
        op.f("ix_admit_families_tenant_expires_at"), "admit_families", ["tenant", "expires_at"], unique=False
    )
    op.create_index(op.f("ix_admit_families_tenant_grant_id"), "admit_families", ["tenant", "grant_id"], unique=False)

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
    op.drop_index(op.f("ix_admit_families_tenant_grant_id"), table_name="admit_families")
    op.drop_index(op.f("ix_admit_families_tenant_expires_at"), table_name="admit_families")
    op.drop_table("admit_families")
    op.drop_table("admit_api_key_usage")
    op.drop_index(op.f("ix_admit_api_key_secrets_tenant_retires_at"), table_name="admit_api_key_secrets")
    op.drop_index(op.f("ix_admit_api_key_secrets_tenant_key_id"), table_name="admit_api_key_secrets")
    op.drop_table("admit_api_key_secrets")
    op.drop_index("uq_admit_sessions_digest", table_name="admit_sessions")
    op.drop_index(op.f("ix_admit_sessions_tenant_user_id"), table_name="admit_sessions")
    op.drop_index(op.f("ix_admit_sessions_tenant_expires_at"), table_name="admit_sessions")
    op.drop_table("admit_sessions")
    op.drop_table("admit_passwords")
    op.drop_index(op.f("ix_admit_identifiers_tenant_user_id"), table_name="admit_identifiers")
    op.drop_table("admit_identifiers")
    op.drop_index(op.f("ix_admit_grants_tenant_user_id"), table_name="admit_grants")
    op.drop_index(op.f("ix_admit_grants_tenant_expires_at"), table_name="admit_grants")
    op.drop_table("admit_grants")
    op.drop_index(op.f("ix_admit_devices_tenant_user_id"), table_name="admit_devices")
    op.drop_index(op.f("ix_admit_devices_tenant_expires_at"), table_name="admit_devices")
    op.drop_table("admit_devices")
    op.drop_index(op.f("ix_admit_api_keys_tenant_user_id"), table_name="admit_api_keys")
    op.drop_index(op.f("ix_admit_api_keys_tenant_revoked_at"), table_name="admit_api_keys")
    op.drop_table("admit_api_keys")
    op.drop_index(op.f("ix_admit_waits_tenant_forget_at"), table_name="admit_waits")
    op.drop_table("admit_waits")
    op.drop_index(op.f("ix_admit_voids_xid"), table_name="admit_voids")
    op.drop_index(op.f("ix_admit_voids_until"), table_name="admit_voids")
    op.drop_table("admit_voids")
    op.drop_table("admit_users")
    op.drop_index(op.f("ix_admit_tickets_tenant_user_id"), table_name="admit_tickets")
    op.drop_index(op.f("ix_admit_tickets_tenant_expires_at"), table_name="admit_tickets")
    op.drop_table("admit_tickets")
    op.drop_table("admit_tenants")
    op.drop_table("admit_signing_keys")
    op.drop_table("admit_outbox")
    op.drop_table("admit_meta")
    op.drop_index(op.f("ix_admit_limits_tenant_tat"), table_name="admit_limits")
    op.drop_table("admit_limits")
    op.drop_table("admit_leases")
    op.drop_index(op.f("ix_admit_jobs_done_at_due"), table_name="admit_jobs")
    op.drop_table("admit_jobs")
    op.drop_index("uq_admit_findings_key", table_name="admit_findings")
    op.drop_table("admit_findings")
    op.drop_index("uq_admit_events_id", table_name="admit_events")
    op.drop_index(op.f("ix_admit_events_xid"), table_name="admit_events")
    op.drop_index(op.f("ix_admit_events_tenant_subject_at"), table_name="admit_events")
    op.drop_index(op.f("ix_admit_events_tenant_request_id"), table_name="admit_events")
    op.drop_index(op.f("ix_admit_events_tenant_at"), table_name="admit_events")
    op.drop_table("admit_events")
    op.drop_index(op.f("ix_admit_event_persons_tenant_subject"), table_name="admit_event_persons")
    op.drop_table("admit_event_persons")
    op.drop_table("admit_decoys")
    op.drop_table("admit_data_keys")
    op.drop_table("admit_cursors")
    op.drop_index("uq_admit_clients_client_id", table_name="admit_clients")
    op.drop_table("admit_clients")
    op.drop_index(op.f("ix_admit_claims_tenant_until"), table_name="admit_claims")
    op.drop_table("admit_claims")
    op.drop_index("uq_admit_audit_log_seq", table_name="admit_audit_log")
    op.drop_table("admit_audit_log")
    op.drop_table("admit_audit_blocks")
