"""Makes the mutants of a module: copies of it with one small change each.

The changes are those of mutmut. Its own runner leaves out functions and classes with decorators,
and what runs at import, so this module applies them to the text instead.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation.mutators import mutation_operators

ROOT = Path(__file__).resolve().parents[2]

# The one rule for what is not changed: texts for people, and what only type checkers, caches and
# other tools read. These are the calls that have such texts.
_FOR_PEOPLE = {
    "_",
    "_log_error",
    "gettext",
    "gettext_lazy",
    "ngettext",
    "ngettext_lazy",
    "pgettext",
    "RateLimitedLogger",
}
_FOR_TYPES = {"ParamSpec", "TypeVar", "cast"}
# Built-in errors have no code, and users never see their messages.
_BUILT_IN = {"LookupError", "RuntimeError", "TypeError", "ValueError"}
_NAMES = {"__all__", "__slots__"}

# As in mutmut: a wrong argument of these raises TypeError, which any test notices.
_OBVIOUS = {"isinstance", "issubclass", "len"}


@dataclass(frozen=True, slots=True)
class Mutant:
    """A module with one change.

    Attributes:
        path: the module's, from the root of the repository.
        where: the function with the change, such as ``Actor.of``; "" outside of functions.
        before: what stands in the changed lines, in one line.
        after: what the mutant has there.
        lines: the first and the last line of the statement.
        source: the whole text.
    """

    path: str
    where: str
    before: str
    after: str
    lines: tuple[int, int]
    source: str

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What identifies the mutant in ``equivalent.toml``."""
        return self.path, self.where, self.before, self.after

    def __str__(self) -> str:
        return f"{self.path}:{self.lines[0]} {self.where}: {self.before}  ->  {self.after}"


def mutants_of(path: str) -> list[Mutant]:
    """Return the mutants of the module at ``path``, each only once."""
    source = (ROOT / path).read_text()
    visitor = _Visitor(path, source)
    MetadataWrapper(cst.parse_module(source), unsafe_skip_copy=True).visit(visitor)
    unchanged = ast.dump(ast.parse(source))
    found: dict[str, Mutant] = {}
    keys: Counter[object] = Counter()
    for mutant in visitor.mutants:
        tree = ast.dump(ast.parse(mutant.source))
        if tree == unchanged or tree in found:
            continue
        keys[mutant.key] += 1
        if (number := keys[mutant.key]) > 1:
            mutant = replace(mutant, after=f"{mutant.after}  # {number}")
        found[tree] = mutant
    return list(found.values())


class _Visitor(cst.CSTVisitor):
    METADATA_DEPENDENCIES = (PositionProvider,)

    def __init__(self, path: str, source: str) -> None:
        super().__init__()
        self.mutants: list[Mutant] = []
        self._path = path
        self._lines = source.splitlines(keepends=True)
        self._names: list[str] = []
        self._statements: list[tuple[int, int]] = []

    def on_visit(self, node: cst.CSTNode) -> bool:
        if _is_left_out(node):
            return False
        if isinstance(node, (cst.SimpleStatementLine, cst.BaseCompoundStatement)):
            self._statements.append(self._span(node))
        if isinstance(node, (cst.FunctionDef, cst.ClassDef)):
            self._names.append(node.name.value)
        for kind, operator in mutation_operators:
            if isinstance(node, kind):
                for changed in operator(node):
                    self._add(node, changed)
        return True

    def on_leave(self, original_node: cst.CSTNode) -> None:
        if _is_left_out(original_node):
            return
        if isinstance(original_node, (cst.SimpleStatementLine, cst.BaseCompoundStatement)):
            self._statements.pop()
        if isinstance(original_node, (cst.FunctionDef, cst.ClassDef)):
            self._names.pop()

    def _span(self, node: cst.CSTNode) -> tuple[int, int]:
        """Return the lines of a statement, without those of its block.

        For a function, those of its block too: they say which tests need its defaults.
        """
        position = self.get_metadata(PositionProvider, node)
        last = position.end.line
        if isinstance(node, cst.BaseCompoundStatement) and not isinstance(node, cst.FunctionDef):
            body = self.get_metadata(PositionProvider, node.body)
            last = max(position.start.line, body.start.line - 1)
        return position.start.line, last

    def _add(self, node: cst.CSTNode, changed: cst.CSTNode) -> None:
        position = self.get_metadata(PositionProvider, node)
        start, end = position.start, position.end
        if getattr(changed, "lpar", None) and getattr(node, "lpar", None):
            changed = changed.with_changes(lpar=[], rpar=[])  # the position is that within them
        text = cst.Module([]).code_for_node(changed).strip()
        old = "".join(self._lines[start.line - 1 : end.line])
        if old[start.column].isspace():
            text = f" {text}"
        after = old.splitlines(keepends=True)[-1][end.column :]
        new = old[: start.column] + text + after
        lines = [*self._lines[: start.line - 1], new, *self._lines[end.line :]]
        self.mutants.append(
            Mutant(
                path=self._path,
                where=".".join(self._names),
                before=" ".join(old.split()),
                after=" ".join(new.split()),
                lines=self._statements[-1],
                source="".join(lines),
            )
        )


def _is_left_out(node: cst.CSTNode) -> bool:
    match node:
        case cst.Annotation() | cst.Decorator() | cst.Import() | cst.ImportFrom():
            return True
        case cst.Expr(value=cst.SimpleString() | cst.ConcatenatedString()):
            return True  # a docstring
        case cst.Call(func=cst.Name(value=name)):
            return name in _FOR_PEOPLE | _FOR_TYPES | _OBVIOUS
        case cst.Call(func=cst.Attribute(value=cst.Name(value="logger" | "logging"))):
            return True
        case cst.Raise(exc=cst.Call(func=cst.Name(value=name))):
            return name in _BUILT_IN
        case cst.If(test=cst.Name(value="TYPE_CHECKING")):
            return True
        case cst.FunctionDef():
            return any(_name(item.decorator) == "overload" for item in node.decorators)
        case cst.Assign(targets=[cst.AssignTarget(target=cst.Name(value=name))]):
            return name in _NAMES or _is_type(node.value)
        case cst.AnnAssign(annotation=cst.Annotation(annotation=cst.Name(value="TypeAlias"))):
            return True
    return False


def _is_type(node: cst.BaseExpression) -> bool:
    """Whether this is only for annotations, such as ``tuple[str, int]`` or ``A | None``."""
    match node:
        case cst.Call(func=cst.Name(value=name)):
            return name in _FOR_TYPES
        case cst.Subscript(value=cst.Name(value=name)):
            return name in {"Callable", "dict", "list", "tuple"}
        case cst.BinaryOperation(operator=cst.BitOr()):
            return all(_name(side)[:1].isupper() for side in (node.left, node.right))
    return False


def _name(node: cst.BaseExpression) -> str:
    match node:
        case cst.Name(value=name) | cst.Attribute(attr=cst.Name(value=name)):
            return name
    return ""


def all_mutants(paths: list[str]) -> Iterator[Mutant]:
    for path in paths:
        yield from mutants_of(path)
