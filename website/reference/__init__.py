"""The reference of each language, made of its sources: pages of the same names for Python and Node.js, rustdoc for Rust."""

from __future__ import annotations

from website.reference import node, python

INDEX = """# Reference

**Every public name of each language, made of the sources when this site is built.** Pages of the same name say the same in
Python and in Node.js.

| | Python | Node.js | Rust |
|---|---|---|---|
| all names | [tidegate](python/index.md) | [tidegate](node/index.md) | [the crate](rust.md) |
| the manager | [CacheManager](python/manager.md), [blocking](python/sync.md) | [CacheManager](node/manager.md) | `Manager` |
| options | [options](python/options.md) | [options](node/options.md) | `Builder` |
| errors | [errors](python/errors.md) | [errors](node/errors.md) | `Error` |
| events | [events](python/events.md) | [events](node/events.md) | `Event` |

What holds in every language stands in tables: [options](../options.md), [errors](../errors.md), [events and
figures](../events.md), [the command](../command.md).
"""

RUST = """# Rust

**The crate `tidegate` is what Python and Node.js run on, and has the same cache for Rust.** Its pages are rustdoc's own:
<a href="../rust/tidegate/index.html">the crate `tidegate`</a>.

They are made by `make docs`, or by themselves:

```text
cargo doc --package tidegate --no-deps --open
```

Where to begin: `Manager::builder(url)` makes a manager; `get_or_fetch` is `get` with a fallback; `Error::kind` and
`Error::code` say what [an error](../errors.md) is. Why the core is built as it is: [core/DESIGN.md](../repo/core/DESIGN.md).
"""


def pages() -> dict[str, str]:
    """The Markdown of every page of the reference, by its uri."""
    made = {"reference/index.md": INDEX, "reference/rust.md": RUST}
    made |= {f"reference/python/{name}": text for name, text in python.pages().items()}
    made |= {f"reference/node/{name}": text for name, text in node.pages().items()}
    return made
