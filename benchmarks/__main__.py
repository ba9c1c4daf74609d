"""Measures tidegate beside its peers, and tells it as tables.

python -m benchmarks                            everything, in both languages
python -m benchmarks --only l2 --only l1        some scenarios
python -m benchmarks --only l2 --quick          short rounds, to see whether it works
python -m benchmarks --write                    docs/performance.md and README.md too, from this and earlier runs
python -m benchmarks --only none --write        the page again, from earlier runs
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from typing import Any

from benchmarks import readme, report, results, targets
from benchmarks.rounds import Canary, mark_quiet
from benchmarks.scenarios import ALL
from benchmarks.scenarios.common import Bench
from benchmarks.workers import Language

QUICK = (3, 0.2)  # rounds, seconds


def arguments() -> argparse.Namespace:
    """What is asked for."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=[*ALL, "none"], help=f"of {', '.join(ALL)}, none")
    parser.add_argument("--language", choices=("python", "node"), help="one of the two")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each contender (%(default)s)")
    parser.add_argument("--seconds", type=float, default=0.4, help="length of a round (%(default)s)")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK[0]} rounds of {QUICK[1]} s, kept apart")
    parser.add_argument("--write", action="store_true", help=f"write docs/{report.PAGE.name} and its charts")
    return parser.parse_args()


def run(asked: argparse.Namespace) -> None:
    """Measure what is asked for, and keep it; the tables follow each scenario."""
    languages: tuple[Language, ...] = (asked.language,) if asked.language else ("python", "node")
    rounds, seconds = QUICK if asked.quick else (asked.rounds, asked.seconds)
    names = [name for name in ALL if not asked.only or name in asked.only]
    command = shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]])
    with Canary() as canary:
        bench = Bench(rounds, seconds, languages, canary, asked.quick)
        for name in names:
            print(f"{name}: {ALL[name].title}", file=sys.stderr, flush=True)
            began = time.monotonic()
            measured = ALL[name].measure(bench)
            mark_quiet(measured, canary.quiet_ms())
            how: dict[str, Any] = {"command": command, "date": results.today(), "rounds": rounds, "seconds": seconds}
            kept = results.load(quick=asked.quick)  # anew: another run may have kept something meanwhile
            kept.keep(name, measured, languages, {**how, "took_seconds": round(time.monotonic() - began)})
            kept.machine = results.machine()
            kept.save()
            print(f"\n## {ALL[name].title}\n\n{report.results_tables(ALL[name], kept)}\n", flush=True)


def main() -> None:
    """Measure, print, write."""
    asked = arguments()
    run(asked)
    kept = results.load(quick=asked.quick)
    print(f"## Targets\n\n{targets.table(kept)}")
    print(f"\nRaw results: {kept.path}", file=sys.stderr)
    if asked.write:
        report.write(kept)
        readme.write()


if __name__ == "__main__":
    main()
