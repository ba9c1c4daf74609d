"""A service that may be deployed, stopped and probed: what `docs/deploying/kubernetes.md` is about.

    PORT=8080 CACHE_URL=redis://localhost:6379/0 python examples/deploying/service.py

| path | answers |
|---|---|
| `/live` | 200 while the process can answer at all |
| `/ready` | 200 from the start until it is told to end, whether or not Redis is there |
| `/status` | what `health()` finds: for people and monitors, never for a probe |
| `/name/ID` | a cached read |

On SIGTERM it says that it is not ready, goes on serving for DRAIN_SECONDS, lets what is under way end, and closes the
cache, which delivers the invalidations that Redis has not confirmed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tidegate import key
from tidegate.sync import CacheManager

# Made here, in the process that uses it; it connects at its first use and not before.
cache = CacheManager(os.environ.get("CACHE_URL", "redis://localhost:6379/0"), service="names", ttl="5m")
stopping = threading.Event()
ENDS = {signal.SIGTERM, signal.SIGINT}


def query(user_id: str) -> str:
    """Your database here."""
    return f"user {user_id}"


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Routes."""
        if self.path == "/live":
            self._answer(200, "alive")
        elif self.path == "/ready":
            self._answer(503 if stopping.is_set() else 200, "stopping" if stopping.is_set() else "ready")
        elif self.path == "/status":
            self._answer(200, json.dumps(asdict(cache.health())))
        elif self.path.startswith("/name/"):
            user_id = self.path.removeprefix("/name/")
            self._answer(200, cache.get(key("user", "name", user_id), lambda: query(user_id)))
        else:
            self._answer(404, "no such path")

    def _answer(self, status: int, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if stopping.is_set():
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: probes would fill the log."""


class Server(ThreadingHTTPServer):
    """Threads that are waited for when it is closed."""

    daemon_threads = False


def main() -> None:
    """Serves until SIGTERM."""
    # Threads inherit it: whichever the system would tell, it is this one that waits for the signal below.
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)
    server = Server(("", int(os.environ.get("PORT", "8080"))), Handler)
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1})
    serving.start()
    print(json.dumps({"port": server.server_address[1]}), flush=True)
    signal.sigwait(ENDS)
    stopping.set()
    # What routes requests to this process learns of it a moment later: they are served meanwhile.
    threading.Event().wait(float(os.environ.get("DRAIN_SECONDS", "5")))
    server.shutdown()
    serving.join()
    server.server_close()
    drained = cache.close(timeout=20)
    print(json.dumps({"drained": drained}), flush=True)
    sys.exit(0)


if __name__ == "__main__":
    main()
