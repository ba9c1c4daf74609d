"""The errors: one class for each kind of the core, with its code."""

from __future__ import annotations

import pytest

import tidegate
from tidegate import TidegateError, _tidegate


def test_each_kind_of_the_core_has_its_class_and_the_other_way_round() -> None:
    classes = {kind.__name__: kind.code for kind in TidegateError.__subclasses__()}
    assert classes == _tidegate.ERROR_CODES
    assert all(issubclass(getattr(tidegate, name), TidegateError) for name in classes)
    assert set(classes) < set(tidegate.__all__)


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("ConfigError", ValueError),
        ("KeyFormatError", ValueError),
        ("ValueTooLarge", ValueError),
        ("EncodeError", TypeError),
        ("ClosedError", RuntimeError),
        ("HardTimeout", TimeoutError),
        ("StoreUnavailable", ConnectionError),
    ],
)
def test_what_they_are_besides(name: str, base: type[Exception]) -> None:
    assert issubclass(getattr(tidegate, name), base)


def test_all_that_is_public_is_there() -> None:
    assert all(getattr(tidegate, name) is not None for name in tidegate.__all__)
