"""Column types that differ between SQLite and PostgreSQL."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

#: UUIDv7 as 16 bytes
Id = sa.LargeBinary(16)
#: SHA-256
Digest = sa.LargeBinary(32)
#: microseconds UTC
Time = sa.BigInteger
#: a row number that SQLite fills (it needs INTEGER) and PostgreSQL takes from a sequence
Serial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


class _Json(sa.types.TypeDecorator[Any]):
    """JSONB on PostgreSQL, which is imported only where it is used: it brings 50 ms and three drivers' dialects."""

    impl = sa.JSON
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> sa.types.TypeEngine[Any]:
        if dialect.name != "postgresql":
            return dialect.type_descriptor(sa.JSON())
        from sqlalchemy.dialects.postgresql import JSONB

        return dialect.type_descriptor(JSONB())


#: JSON object
Json = _Json()


class Xid(sa.types.UserDefinedType[int]):
    """PostgreSQL's 64-bit transaction id (xid8); an integer elsewhere."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "xid8"


@compiles(Xid, "sqlite")
def _xid_sqlite(_element: Any, _compiler: Any, **_: Any) -> str:
    return "INTEGER"


class current_xid(FunctionElement[int]):  # noqa: N801 (reads as the SQL function it stands for)
    """The id of the running transaction; 0 where rows are already in commit order."""

    inherit_cache = True
    type = Xid()


@compiles(current_xid, "postgresql")
def _current_xid_postgresql(_element: Any, _compiler: Any, **_: Any) -> str:
    return "pg_current_xact_id()"


@compiles(current_xid)
def _current_xid(_element: Any, _compiler: Any, **_: Any) -> str:
    return "0"
