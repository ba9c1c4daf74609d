"""What an editor shows of the public names: every one says what it is, and so does every method, field and option."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from itertools import pairwise
from pathlib import Path
from typing import Any, get_origin

import pytest

import tidegate
from tidegate import _decorators

PUBLIC = [
    "tidegate",
    *(
        module.name
        for module in pkgutil.walk_packages(tidegate.__path__, "tidegate.")
        if not any(part.startswith("_") for part in module.name.split("."))
    ),
]
# Their names say it all, or they are the language's own.
PLAIN = {"__aenter__", "__aexit__", "__enter__", "__exit__", "__version__"}


def _names(module: str) -> list[tuple[str, Any]]:
    public = importlib.import_module(module)
    names: list[str] = getattr(public, "__all__", None) or [
        name
        for name, value in vars(public).items()
        if not name.startswith("_") and getattr(value, "__module__", "") == module
    ]
    return [(f"{module}.{name}", getattr(public, name)) for name in names if name not in PLAIN]


ALL = [pair for module in PUBLIC for pair in _names(module)]
CLASSES = {name: value for name, value in ALL if inspect.isclass(value)}


def _documented_by_a_string(cls: type) -> set[str]:
    """The fields of a class with a text behind them, as editors read it."""
    [body] = [
        node.body
        for node in ast.walk(ast.parse(Path(inspect.getfile(cls)).read_text()))
        if isinstance(node, ast.ClassDef) and node.name == cls.__name__
    ]
    return {
        field.target.id
        for field, text in pairwise(body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
    }


def _members(cls: type) -> dict[str, object]:
    """Methods and properties of the package's own that are public, by name; the class that writes one down says it."""
    found: dict[str, object] = {}
    for base in reversed(cls.__mro__):
        if base.__module__.startswith("tidegate"):
            found |= {name: value for name, value in vars(base).items() if not name.startswith("_")}
    return found


def _text_of(member: object) -> str | None:
    if isinstance(member, classmethod | staticmethod):
        return member.__func__.__doc__
    return getattr(member, "__doc__", None)


@pytest.mark.parametrize(("name", "value"), ALL, ids=[name for name, _ in ALL])
def test_a_public_name_says_what_it_is(name: str, value: Any) -> None:
    if get_origin(value) is not None or isinstance(value, str):
        assert name.rpartition(".")[2] in _aliases_with_text(), name
    elif inspect.isclass(value):
        # Of its own: a builtin's or a base's says nothing of it.
        assert (vars(value).get("__doc__") or "").strip(), name
    else:
        assert (value.__doc__ or "").strip(), name


def _aliases_with_text() -> set[str]:
    """Types and constants that a text stands behind."""
    found: set[str] = set()
    for path in Path(inspect.getfile(tidegate)).parent.rglob("*.py"):
        body = ast.parse(path.read_text()).body
        for alias, text in pairwise(body):
            is_text = isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
            if is_text and isinstance(alias, ast.AnnAssign) and isinstance(alias.target, ast.Name):
                found.add(alias.target.id)
            elif is_text and isinstance(alias, ast.Assign) and isinstance(alias.targets[0], ast.Name):
                found.add(alias.targets[0].id)
    return found


@pytest.mark.parametrize("cls", CLASSES.values(), ids=CLASSES)
def test_a_public_method_says_what_it_does(cls: type) -> None:
    fields = set(getattr(cls, "__annotations__", {})) | set(getattr(cls, "__slots__", ()))
    methods = {
        name: member
        for name, member in _members(cls).items()
        if name not in fields and (inspect.isroutine(member) or isinstance(member, property))
    }
    assert [name for name, member in methods.items() if not (_text_of(member) or "").strip()] == []


@pytest.mark.parametrize(
    "cls",
    [cls for cls in CLASSES.values() if hasattr(cls, "__required_keys__")],
    ids=lambda cls: str(cls.__name__),
)
def test_an_option_says_what_it_does(cls: type) -> None:
    assert set(inspect.get_annotations(cls)) - _documented_by_a_string(cls) - _inherited(cls) == set()


@pytest.mark.parametrize("cls", CLASSES.values(), ids=CLASSES)
def test_a_public_field_says_what_it_is(cls: type) -> None:
    if hasattr(cls, "__required_keys__"):
        return
    bases = [base for base in cls.__mro__ if base.__module__.startswith("tidegate")]
    told = set[str]().union(*map(_documented_by_a_string, bases))
    # An event's class narrows the types of its fields.
    assert {name for name in inspect.get_annotations(cls) if not name.startswith("_")} - told == set()


def _inherited(cls: type) -> set[str]:
    # A TypedDict knows the keys of its bases, and not which they are.
    others = [other for other in CLASSES.values() if other is not cls and hasattr(other, "__required_keys__")]
    return {key for other in others for key in _documented_by_a_string(other)}


def test_the_helpers_of_a_cached_function_say_what_they_do() -> None:
    # Protocols that only type checkers and editors read.
    source = ast.parse(Path(inspect.getfile(_decorators)).read_text())
    classes = [
        node
        for node in ast.walk(source)
        if isinstance(node, ast.ClassDef) and node.name.endswith(("Cached", "Ignoring"))
    ]
    helpers = [
        (cls.name, helper.name, ast.get_docstring(helper))
        for cls in classes
        for helper in cls.body
        if isinstance(helper, ast.FunctionDef | ast.AsyncFunctionDef) and not helper.name.startswith("_")
    ]
    assert len(helpers) == 8 + 12
    assert [(cls, name) for cls, name, text in helpers if not text] == []


def test_there_are_names_to_look_at() -> None:
    assert len(ALL) > 60
    assert len(CLASSES) > 40
