"""What is cached while it is measured: an order of a shop, as long as asked for. `node/records.mjs` makes the same."""

from __future__ import annotations

import json
from typing import Any

SHORT_BYTES = 500  # below it an order has no customer and no lines


def compact(value: Any) -> str:
    """JSON without blanks, as both languages write it."""
    return json.dumps(value, separators=(",", ":"))


def record(number: int, size: int) -> dict[str, Any]:
    """Order `number`, exactly `size` bytes as compact JSON."""
    order: dict[str, Any] = {
        "id": number,
        "customer": {"id": 90_000 + number, "name": f"Customer {number}", "email": f"customer{number}@example.com"},
        "paid": number % 3 == 0,
        "total": 1999 * (number % 7 + 1) / 100,
        "lines": [],
        "note": "",
    }
    if size < SHORT_BYTES:
        del order["customer"], order["lines"]
        room = size - len(compact(order))
    else:
        room = size - len(compact(order))
        order["lines"], room = _lines(number, room)
    if room < 0:
        raise ValueError(f"no order is as short as {size} bytes")
    order["note"] = "x" * room
    return order


def _lines(number: int, room: int) -> tuple[list[dict[str, Any]], int]:
    """As many lines as fit into `room` bytes, and the bytes that are left."""
    lines: list[dict[str, Any]] = []
    while True:
        at = len(lines)
        line = {"sku": f"SKU-{number:05}-{at:02}", "title": f"Article number {at}", "count": at + 1, "price": 19.99}
        took = len(compact(line)) + (1 if lines else 0)  # and a comma
        if took > room:
            return lines, room
        lines.append(line)
        room -= took
