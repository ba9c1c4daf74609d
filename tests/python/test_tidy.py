"""The house rules of the package, run as a test: which module may name which. (Those of Rust: core/tests/tidy/.)

Imports within functions and those for type checkers count too, since a reader follows them. Each rule is also shown to
bite, on a tree made for it.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import tidegate

# From the ground up: a module names others of its own layer, and of those before it. A new one has to find its place
# here; what is within a package that is named stands where that does, unless it is named itself.
LAYERS = {
    "the native half": "_tidegate",
    "words": "_annotations _entry _errors _events _health _lint _metrics _models _options _outcomes _stats _types",
    "values": "_codec _decoding _encoding _sharing _untyped",
    "arguments": "_checks _field_checks _keys _parsing _publishing _templates",
    "fallbacks, and waiting for them": "_behind _context _fallbacks _loops _running _tasks _upgrade"
    " sync._apart sync._threads sync._workers",
    "observers": "_awaiting _disabled _logging _observing _views logs",
    "what both managers share": "_base _batch _decorators _fields _lifecycle",
    "for tests": "testing",
    "for asyncio": "_between _by_fields _dead_events _decorating _manager _reading _subscription _write_behind",
    "for threads": "sync",
    "the face": "tidegate __main__",
    "frameworks and telemetry": "contrib otel prometheus tidegate_pytest",
}
PLACES = {module: at for at, modules in enumerate(LAYERS.values()) for module in modules.split()}

Tree = dict[str, str]
"""Path, from the folder of the sources, to text."""


def layers(tree: Tree) -> list[str]:
    places = {module: _place(module) for module in _arrows(tree)}
    homeless = [f"{module} has no place in LAYERS" for module, place in places.items() if place is None]
    return homeless + [
        f"{module} names {other}, which stands above it"
        for module, named in _arrows(tree).items()
        for other in sorted(named)
        if (places[module] or 0) < (places[other] or 0)
    ]


def circles(tree: Tree) -> list[str]:
    try:
        TopologicalSorter(_arrows(tree)).prepare()
    except CycleError as error:
        return [f"a circle: {' <- '.join(error.args[1])}"]
    return []


def _arrows(tree: Tree) -> dict[str, set[str]]:
    """The other modules that each one names."""
    modules = {_module(path) for path in tree}
    arrows = {}
    for path, text in tree.items():
        package, named = path.split("/")[:-1], set[str]()
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                named |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                outer = package[: len(package) + 1 - node.level] if node.level else []
                base = ".".join([*outer, node.module] if node.module else outer)
                wholes = [f"{base}.{alias.name}" for alias in node.names]
                named |= {whole if whole in modules else base for whole in wholes}
        arrows[_module(path)] = (named & modules) - {_module(path)}
    return {_short(module): {_short(one) for one in named} for module, named in arrows.items()}


def _module(path: str) -> str:
    return path.rpartition(".")[0].removesuffix("/__init__").replace("/", ".")


def _short(module: str) -> str:
    return module.removeprefix("tidegate.")


def _place(module: str) -> int | None:
    while module not in PLACES and "." in module:
        module = module.rpartition(".")[0]
    return PLACES.get(module)


def test_the_package_is_tidy() -> None:
    top = Path(tidegate.__path__[0]).parent
    files = [file for name in ("tidegate", "tidegate_pytest") for file in (top / name).rglob("*.py*")]
    tree = {file.relative_to(top).as_posix(): file.read_text() for file in files if file.suffix in (".py", ".pyi")}
    assert layers(tree) + circles(tree) == []
    assert set(PLACES) - set(_arrows(tree)) == set(), "no such modules"


@pytest.mark.parametrize(
    ("rule", "path", "text", "bites"),
    [
        (layers, "tidegate/_keys.py", "from ._manager import CacheManager", True),
        (layers, "tidegate/_keys.py", "from tidegate import _manager", True),
        (layers, "tidegate/_keys.py", "import tidegate._manager", True),
        (layers, "tidegate/_keys.py", "def f() -> None:\n    from . import _manager", True),
        (layers, "tidegate/_keys.py", "if TYPE_CHECKING:\n    from . import CacheManager", True),
        (layers, "tidegate/_manager.py", "from .sync import CacheManager", True),
        (layers, "tidegate/sync/_threads.py", "from .._manager import CacheManager", True),
        (layers, "tidegate/_novel.py", "", True),
        (layers, "tidegate/sync/_novel.py", "from .._manager import CacheManager", False),
        (layers, "tidegate/otel/_novel.py", "from .. import CacheManager, _manager", False),
        (layers, "tidegate/_reading.py", "from ._manager import CacheManager", False),
        (layers, "tidegate/_keys.py", "from other._manager import manager", False),
        (circles, "tidegate/_reading.py", "from ._manager import CacheManager", True),
        (circles, "tidegate/_reading.py", "def f() -> None:\n    from . import _manager", True),
        (circles, "tidegate/_reading.py", "from .sync import CacheManager", False),
    ],
)
def test_each_rule_bites(rule: Callable[[Tree], list[str]], path: str, text: str, bites: bool) -> None:
    tree = {
        "tidegate/__init__.py": "from ._manager import CacheManager",
        "tidegate/_manager.py": "from ._reading import Reader",
        "tidegate/_reading.py": "",
        "tidegate/sync/__init__.py": "",
    }
    assert rule(tree) == []
    assert bool(rule(tree | {path: text})) == bites
