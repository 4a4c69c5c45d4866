"""``python -m trust.fuzz TARGET FOLDER``: fuzzes one target, and keeps its corpus in the folder."""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import atheris

TARGETS = ("headers", "imports")
LONGEST = 2_000  # bytes


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m trust.fuzz", description=__doc__)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("folder", type=Path, help="for what it finds")
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--runs", type=int, default=-1, help="stop after this number of inputs")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--blind", action="store_true", help="not guided by coverage, but faster")
    parser.add_argument("--input", type=Path, help="try only the input in this file")
    options = parser.parse_args()
    target = _prepared(options.target, instrumented=not (options.blind or options.input))
    if options.input:
        target.check(options.input.read_bytes())
        return
    corpus: Path = options.folder / options.target
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds()):
        (corpus / f"seed-{number:03}").write_bytes(seed)
    known = [path.read_bytes() for path in sorted(corpus.iterdir())]
    words = options.folder / f"{options.target}.dict"
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in target.WORDS))
    atheris.Setup(
        [
            *(sys.argv[0], f"-seed={options.seed}", f"-max_len={LONGEST}", f"-dict={words}"),
            *(f"-max_total_time={options.seconds}", f"-runs={options.runs}"),
            *("-print_final_stats=1", f"-artifact_prefix={options.folder}/{options.target}-"),
            str(corpus),
        ],
        target.check,
        custom_mutator=_mutator(target, known if options.blind else []),
    )
    atheris.Fuzz()


def _prepared(name: str, *, instrumented: bool) -> ModuleType:
    """Return the target's module, with the app instrumented and a database with its keys."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "trust.fuzz.settings"
    import django
    from django.core.management import call_command

    if instrumented:
        with atheris.instrument_imports(include=["frappe_tokens"]):
            django.setup()
            target = import_module(f"trust.fuzz.{name}")
    else:
        django.setup()
        target = import_module(f"trust.fuzz.{name}")
    call_command("migrate", run_syncdb=True, verbosity=0)
    target.prepare()
    return target


def _mutator(target: ModuleType, known: list[bytes]) -> Any:
    """Return what changes an input. Without coverage, libFuzzer itself keeps none of ``known``."""

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        random = Random(seed)
        if known:
            data = random.choice(known)

        def change(part: bytes) -> bytes:
            return bytes(atheris.Mutate(part, max_size))

        return bytes(target.mutate(data, random, change)[:max_size])

    return mutate


def _escaped(word: str) -> str:
    return "".join(
        chr(byte) if chr(byte).isalnum() and byte < 128 else f"\\x{byte:02X}"
        for byte in word.encode()
    )


if __name__ == "__main__":
    main()
