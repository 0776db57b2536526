"""The documented nginx in front of us: TLS 1.2 and 1.3, nothing older."""

from __future__ import annotations

import socket
import ssl
import warnings
from collections.abc import Callable

import pytest

from tests.flows.test_forward_auth_nginx import lines
from tests.parts.certificates import Authority
from tests.parts.nginx import Nginx
from tests.parts.ports import free_port


def _handshake(port: int, version: ssl.TLSVersion) -> str | None:
    """The version that was agreed on, or why there was none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")  # else our own side would refuse the old versions
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
    with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
        try:
            with context.wrap_socket(plain, server_hostname="login.example.com") as connection:
                return connection.version()
        except ssl.SSLError as error:
            return error.reason


@pytest.mark.nginx
@pytest.mark.proof("ASVS-12.1.1")
def test_old_versions_of_tls_are_refused(nginx: Callable[..., Nginx], authority: Authority) -> None:
    issued, port = authority.issue("login.example.com"), free_port()
    block = lines("nginx").replace("listen 443 ssl", f"listen 127.0.0.1:{port} ssl")
    block = block.replace("/etc/ssl/login.pem", str(issued.chain)).replace("/etc/ssl/login.key", str(issued.key))
    nginx("map $http_upgrade $connection_upgrade { default upgrade; '' close; }\n" + block, port)
    assert _handshake(port, ssl.TLSVersion.TLSv1_3) == "TLSv1.3"
    assert _handshake(port, ssl.TLSVersion.TLSv1_2) == "TLSv1.2"
    for old in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
        assert _handshake(port, old) == "TLSV1_ALERT_PROTOCOL_VERSION"
