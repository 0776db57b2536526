"""One parser at a time, since CPython's counts its depth for all threads together."""

from __future__ import annotations

import ast
import threading
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(autouse=True, scope="package")
def one_parser_at_a_time() -> Iterator[None]:
    """Hypothesis parses its lambdas in this thread while the application logs a traceback in another, which parses its
    lines: in CPython 3.11 one of them then dies of a SystemError ("AST constructor recursion depth mismatch").
    """
    parse, lock = ast.parse, threading.RLock()

    def alone(*arguments: Any, **options: Any) -> Any:
        with lock:
            return parse(*arguments, **options)

    ast.parse = alone
    try:
        yield
    finally:
        ast.parse = parse
