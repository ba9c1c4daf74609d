"""Whether the configuration that a page shows is what its reader takes: a parser, or the server itself."""

from __future__ import annotations

import configparser
import json
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import tomli
import yaml

from tests.support.redis_server import RedisServer


class _Configured(RedisServer):
    """A server that reads a file first; where it listens and writes is the test's."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._file = file

    def _command(self, folder: Path, port: int) -> list[str]:
        binary, *settings = super()._command(folder, port)
        own = ["--daemonize", "no", "--logfile", "", "--appendonly", "no", "--unixsocket", ""]
        return [binary, str(self._file), *settings, *own]


def _redis(text: str) -> None:
    with tempfile.TemporaryDirectory(prefix="tidegate-conf-") as folder:
        file = Path(folder) / "redis.conf"
        file.write_text(text)
        # A line that it does not know ends it, with its log in the error.
        with _Configured(file) as server:
            assert server.is_running


def _ini(text: str) -> None:
    parser = configparser.ConfigParser()
    parser.read_string(text)
    assert parser.sections()


def _nginx(text: str) -> None:
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    assert all(re.search(r"[;{}]$", line) for line in lines if line), text
    assert text.count("{") == text.count("}")


_INSTRUCTIONS = {"ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "RUN", "USER", "WORKDIR"}


def _dockerfile(text: str) -> None:
    whole = re.sub(r"\\\n", " ", text)
    words = [line.split()[0] for line in whole.splitlines() if line.strip() and not line.startswith("#")]
    assert "FROM" in words
    assert set(words) <= _INSTRUCTIONS


def _mermaid(text: str) -> None:
    kinds = ("sequenceDiagram", "flowchart ", "graph ", "stateDiagram-v2", "gantt", "timeline")
    assert text.lstrip().startswith(kinds), "the kind of a diagram is its first word"


def _diff(text: str) -> None:
    assert all(line[:1] in "+-@ \\" for line in text.splitlines() if line)


def _yaml(text: str) -> None:
    assert list(yaml.safe_load_all(text))


CHECKS: dict[str, Callable[[str], object]] = {
    "conf": _redis,
    "diff": _diff,
    "dockerfile": _dockerfile,
    "ini": _ini,
    "json": json.loads,
    "mermaid": _mermaid,
    "nginx": _nginx,
    "toml": tomli.loads,
    "yaml": _yaml,
}
"""By language. Each raises where the text is not in it."""
