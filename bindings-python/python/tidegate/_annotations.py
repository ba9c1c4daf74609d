"""What a function says of its parameters and its result.

From Python 3.14 on annotations are evaluated when somebody asks for them, all at once: one name that only a type
checker knows, or that stands further down in the file, would be an error there.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import Any

if sys.version_info >= (3, 14):
    from annotationlib import Format, get_annotations

    def signature_of(function: Callable[..., Any]) -> inspect.Signature:
        """The parameters; of annotations, those that can be had."""
        return inspect.signature(function, annotation_format=Format.FORWARDREF)

    def returned_by(function: Callable[..., Any]) -> Any:
        """The annotation of the result, unevaluated where its names are not there yet; None: there is none."""
        return get_annotations(function, format=Format.FORWARDREF).get("return")

else:

    def signature_of(function: Callable[..., Any]) -> inspect.Signature:
        """The parameters."""
        return inspect.signature(function)

    def returned_by(function: Callable[..., Any]) -> Any:
        """The annotation of the result, as it was written; None: there is none."""
        return function.__annotations__.get("return")
