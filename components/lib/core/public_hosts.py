"""HTTP connections to public addresses only: against requests that are led inside (SSRF, DNS rebinding).

A host is resolved once, every address checked, and the connection made to the checked address, so that a name
cannot lead to this machine, the cluster or a cloud's metadata service. An operator may allow hosts in the
environment variable TRUNKLINE_ALLOWED_HOSTS (names, comma separated); a run cannot.
"""

from __future__ import annotations

import http.client
import ipaddress
import os
import socket
import ssl

from components.lib.core.errors import AccessError, ServiceError

ALLOWED = "TRUNKLINE_ALLOWED_HOSTS"


def allowed(host: str) -> bool:
    """Whether an operator has named the host."""
    return host.lower() in [name.strip().lower() for name in os.environ.get(ALLOWED, "").split(",")]


def connection(host: str, port: int, timeout: float, *, tls: bool = True) -> http.client.HTTPConnection:
    """A connection that is made by the first request.

    Raises:
        AccessError: if an address of the host is not public.
        ServiceError: if its name is not known.
    """
    return (_Tls if tls else _Plain)(host, port, _address(host, port), timeout)


class _Plain(http.client.HTTPConnection):
    """Connects to a checked address."""

    def __init__(self, host: str, port: int, address: str, timeout: float) -> None:
        self._address = address
        super().__init__(host, port, timeout=timeout)

    def connect(self) -> None:
        self.sock = socket.create_connection((self._address, self.port), self.timeout)


class _Tls(_Plain):
    """Asks for the certificate of the name."""

    def connect(self) -> None:
        super().connect()
        plain = self.sock
        try:
            self.sock = ssl.create_default_context().wrap_socket(plain, server_hostname=self.host)
        except BaseException:
            plain.close()
            raise


def _address(host: str, port: int) -> str:
    """The first address of a host."""
    try:
        found = sorted({str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)})
    except OSError as error:
        fix = "check the name, and that this place may reach the network"
        raise ServiceError(
            "the host of a web address is not known", where=host, found=error, fix=fix
        ) from error
    for address in found:
        plain = ipaddress.ip_address(address.partition("%")[0])
        inner = getattr(plain, "ipv4_mapped", None) or plain
        if (not inner.is_global or inner.is_multicast) and not allowed(host):
            fix = f"an operator may name the host in {ALLOWED}"
            raise AccessError("a web server is not at a public address", where=host, found=address, fix=fix)
    return found[0]
