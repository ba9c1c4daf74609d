"""How long an import takes, beside two that everybody knows: `python -m benchmarks.import_time`.

Each import is timed in an interpreter of its own, in turns, from compiled bytecode as pip leaves it; what counts is the
shortest of many, since nothing makes an import quicker than it is. Ratios are worth more than milliseconds.
"""

from __future__ import annotations

import os
import subprocess
import sys

ROUNDS = 40
IMPORTS = ("tidegate", "tidegate.sync", "asyncio", "redis", "redis.asyncio")


def _ms(module: str) -> float:
    code = f"from time import perf_counter; a = perf_counter(); import {module}; print((perf_counter() - a) * 1000)"
    # Without bytecode every import compiles its sources, which is the compiler's time.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return float(subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, check=True).stdout)


def main() -> None:
    """Print a row for each import."""
    shortest = {module: _ms(module) for module in IMPORTS}
    for _ in range(ROUNDS):
        for module in IMPORTS:
            shortest[module] = min(shortest[module], _ms(module))
    print("| import | ms | of redis |\n|---|---|---|")
    for module, ms in shortest.items():
        print(f"| `{module}` | {ms:.1f} | {ms / shortest['redis']:.2f} |")


if __name__ == "__main__":
    main()
