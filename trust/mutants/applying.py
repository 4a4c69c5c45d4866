"""Puts a mutant in the place of a module: while Python runs, or when it imports the module."""

from __future__ import annotations

import ast
import functools
import gc
import inspect
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, FunctionType, ModuleType

Pairs = list[tuple[CodeType, CodeType]]


class Live:
    """The functions of modules that were imported, by their code.

    To exchange the code of a function changes it for all that refer to it: other modules,
    decorators, classes, receivers of signals.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        names = {str(path) for path in paths}
        self._texts = {path: path.read_text() for path in paths}
        self._modules = {
            path: compile(text, str(path), "exec", dont_inherit=True)
            for path, text in self._texts.items()
        }
        self._functions: defaultdict[CodeType, list[FunctionType]] = defaultdict(list)
        self._caches = Caches()
        for thing in _objects():
            if isinstance(thing, FunctionType) and thing.__code__.co_filename in names:
                self._functions[thing.__code__].append(thing)

    def exchange(self, path: Path, source: str) -> bool:
        """Turn the module into its mutant; False if that takes an import."""
        old = self._modules[path]
        if _set_again(path, self._texts[path], source):
            self._caches.clear()
            return True
        new = compile(source, str(path), "exec", dont_inherit=True)
        pairs = _changed(old, new)
        if not pairs or not self._functions[pairs[0][0]]:
            return False
        if any(one.co_freevars != other.co_freevars for one, other in pairs):
            return False
        for one, other in pairs:
            for function in self._functions[one]:
                function.__code__ = other
        self._caches.clear()
        return True


class Caches:
    """The results that functions of the app remember (``functools.lru_cache``)."""

    def __init__(self) -> None:
        self._functions = [
            thing
            for thing in _objects()
            if isinstance(thing, functools._lru_cache_wrapper)
            and thing.__module__.startswith("frappe_tokens.")
        ]

    def clear(self) -> None:
        for function in self._functions:
            function.cache_clear()


def _objects() -> list[object]:
    gc.unfreeze()  # gc doesn't list what is frozen
    try:
        return gc.get_objects()
    finally:
        gc.freeze()


def _set_again(path: Path, text: str, source: str) -> bool:
    """If only a module's constants differ, set them and those that are made of them.

    What has taken a constant into a default or a class keeps the old one, so a mutant that
    survives this isn't one yet.
    """
    old, new = ast.parse(text).body, ast.parse(source).body
    pairs = [(a, b) for a, b in zip(old, new, strict=True) if ast.dump(a) != ast.dump(b)]
    if not all(isinstance(b, (ast.Assign, ast.AnnAssign)) for _, b in pairs):
        return False
    module = next(m for m in sys.modules.values() if getattr(m, "__file__", None) == str(path))
    changed: set[str] = set()
    for one in new:
        if not isinstance(one, (ast.Assign, ast.AnnAssign)):
            continue
        names = {node.id for node in ast.walk(one) if isinstance(node, ast.Name)}
        if not (names & changed or any(one is b for _, b in pairs)):
            continue
        targets = one.targets if isinstance(one, ast.Assign) else [one.target]
        before = {t.id: getattr(module, t.id) for t in targets if isinstance(t, ast.Name)}
        code = compile(ast.Module([one], []), str(path), "exec", dont_inherit=True)
        exec(code, vars(module))  # noqa: S102 - the code of a module, with one change
        changed |= before.keys()
        for each in [m for n, m in sys.modules.items() if n.startswith(("frappe_tokens", "tests"))]:
            for name, value in before.items():
                if vars(each).get(name) is value:
                    setattr(each, name, getattr(module, name))
    return True


def _changed(old: CodeType, new: CodeType) -> Pairs:
    """Return the functions that changed, with the inner ones; none if what imports run did."""
    if _itself(old) != _itself(new):
        return [(old, new)] if _is_function(old) else []
    for one, other in zip(_inner(old), _inner(new), strict=True):
        if _text(one) != _text(other):
            below = _changed(one, other)
            return [(old, new), *below] if below and _is_function(old) else below
    return []


def _itself(code: CodeType) -> tuple[object, ...]:
    """Return what the code does, without the functions in it, and without its lines."""
    constants = [
        None if isinstance(constant, CodeType) else (type(constant), repr(constant))
        for constant in code.co_consts
    ]
    return (
        code.co_code,
        constants,
        code.co_names,
        code.co_varnames,
        code.co_freevars,
        code.co_cellvars,
        code.co_flags,
        code.co_argcount,
        code.co_kwonlyargcount,
    )


def _text(code: CodeType) -> list[object]:
    return [_itself(code), *map(_text, _inner(code))]


def _inner(code: CodeType) -> Iterator[CodeType]:
    return (constant for constant in code.co_consts if isinstance(constant, CodeType))


def _is_function(code: CodeType) -> bool:
    return bool(code.co_flags & inspect.CO_OPTIMIZED)


class MutantFinder(MetaPathFinder):
    """Finds the mutant when its module is imported."""

    def __init__(self, path: Path, source: str) -> None:
        self._path, self._source = path, source

    def install(self) -> None:
        sys.meta_path.insert(0, self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith("frappe_tokens"):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.origin != str(self._path):
            return None
        spec.loader = _Loader(fullname, str(self._path), self._source)
        return spec


class _Loader(SourceFileLoader):
    def __init__(self, fullname: str, path: str, source: str) -> None:
        super().__init__(fullname, path)
        self._source = source

    def path_stats(self, path: str) -> dict[str, float]:  # type: ignore[override]
        raise OSError("what is compiled may not be read or kept")

    def get_data(self, path: str) -> bytes:
        return self._source.encode() if path == self.path else super().get_data(path)
