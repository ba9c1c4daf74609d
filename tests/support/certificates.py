"""A certificate authority of one's own, for servers that speak TLS and clients that show a certificate.

    with Certificates() as certificates, RedisServer(tls=certificates) as server:
        cache = CacheManager(server.url, tls=certificates.options(), service="billing")

The files lie in a folder that is gone when the block is left. A second `Certificates` is an authority nobody knows.
"""

from __future__ import annotations

import shutil
import ssl
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

import trustme

HOSTS = ("127.0.0.1", "localhost", "::1")


class Certificates:
    """An authority, a server's certificate for this machine, and a client's: PEM files in a folder of their own."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="tidegate-certificates-"))
        authority = trustme.CA()
        self.ca = self._folder / "ca.pem"
        authority.cert_pem.write_to_path(str(self.ca))
        self.server = self._issue("server", authority.issue_cert(*HOSTS))
        self.client = self._issue("client", authority.issue_cert("client@tidegate.test"))

    def options(self, *, shows_certificate: bool = True) -> dict[str, str]:
        """What managers take as `tls=`: paths."""
        certificate, key = self.client
        shown = {"cert": str(certificate), "key": str(key)} if shows_certificate else {}
        return {"ca": str(self.ca), **shown}

    def pem(self) -> dict[str, str]:
        """The same, as texts."""
        return {name: Path(path).read_text() for name, path in self.options().items()}

    def server_options(self) -> list[str]:
        """What a redis-server or Sentinel needs, but for its port. It asks for a client's certificate."""
        certificate, key = self.server
        return [
            *("--tls-ca-cert-file", str(self.ca), "--tls-cert-file", str(certificate), "--tls-key-file", str(key)),
            *("--tls-auth-clients", "yes", "--tls-replication", "yes"),
        ]

    def redis_options(self) -> dict[str, Any]:
        """What redis-py takes."""
        certificate, key = self.client
        return {"ssl_ca_certs": str(self.ca), "ssl_certfile": str(certificate), "ssl_keyfile": str(key)}

    def context(self) -> ssl.SSLContext:
        """For a socket of Python's."""
        context = ssl.create_default_context(cafile=str(self.ca))
        context.load_cert_chain(*self.client)
        return context

    def remove(self) -> None:
        """Remove the files."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Certificates:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def _issue(self, name: str, issued: trustme.LeafCert) -> tuple[Path, Path]:
        certificate, key = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        chain = b"".join(part.bytes() for part in issued.cert_chain_pems)
        certificate.write_bytes(chain)
        issued.private_key_pem.write_to_path(str(key))
        key.chmod(0o600)
        return certificate, key
