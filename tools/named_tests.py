"""Whether a test that a document names is there: `path::test`, or `path::test[case]` for one of its cases.

The files are parsed, not imported: nothing is run to find out.
"""

from __future__ import annotations

import ast
import itertools
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

_TAKEN = (str, int, float, bool, type(None))
"""The values of which pytest makes a case's name."""


class CasesUnreadableError(Exception):
    """The names of a test's cases are not in the file in a way that can be read."""


def missing(root: Path, names: Iterable[str]) -> list[str]:
    """Return what is wrong with each of `names` that is not there, as a line; in their order."""
    return [f"{name}: {why}" for name in names if (why := _objection(root, name)) is not None]


def _objection(root: Path, name: str) -> str | None:
    path, _, test = name.partition("::")
    bare, bracket, case = test.partition("[")
    if not path.startswith("tests/") or not (root / path).is_file():
        return "there is no such file"
    module = _module(root / path)
    function = module.tests.get(bare)
    if function is None:
        return "there is no such test"
    if not bracket:
        return None
    try:
        cases = module.cases(function)
    except CasesUnreadableError as unreadable:
        return f"the cases cannot be read: {unreadable}"
    return None if case.removesuffix("]") in cases else "there is no such case"


class ParsedTests:
    """The tests of one file, and what is assigned in it by name."""

    def __init__(self, text: str) -> None:
        tree = ast.parse(text)
        self.tests: Mapping[str, ast.FunctionDef | ast.AsyncFunctionDef] = {
            node.name: node
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
        }
        self._assigned = dict(_assignments(tree))

    def cases(self, function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
        """Return the names of the test's cases, as pytest writes them. Raises CasesUnreadableError."""
        marks = [
            decorator
            for decorator in function.decorator_list
            if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.parametrize"
        ]
        # Of several marks the one nearest to the function is the first part of a name.
        parts = [self._names(mark) for mark in reversed(marks)]
        return {"-".join(each) for each in itertools.product(*parts)} if parts else set()

    def _names(self, mark: ast.Call) -> list[str]:
        given = {word.arg: word.value for word in mark.keywords}
        if "ids" in given:
            return [_as_name(each) for each in self._elements(given["ids"])]
        return [_case_name(each) for each in self._elements(mark.args[1])]

    def _elements(self, node: ast.expr) -> list[ast.expr]:
        """Return what is iterated over."""
        if isinstance(node, ast.Name) and node.id in self._assigned:
            return self._elements(self._assigned[node.id])
        if isinstance(node, ast.List | ast.Tuple | ast.Set):
            return list(node.elts)
        if isinstance(node, ast.Dict) and all(key is not None for key in node.keys):
            return [key for key in node.keys if key is not None]
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "keys":
            return self._elements(node.func.value)
        raise CasesUnreadableError(ast.unparse(node)[:80])


def _assignments(tree: ast.Module) -> Iterable[tuple[str, ast.expr]]:
    for node in tree.body:
        if isinstance(node, ast.Assign):
            yield from ((each.id, node.value) for each in node.targets if isinstance(each, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            yield node.target.id, node.value


def _case_name(node: ast.expr) -> str:
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.param":
        given = {word.arg: word.value for word in node.keywords}
        return _as_name(given["id"]) if "id" in given else "-".join(map(_as_name, node.args))
    if isinstance(node, ast.Tuple):
        return "-".join(map(_as_name, node.elts))
    return _as_name(node)


def _as_name(node: ast.expr) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, _TAKEN):
        return str(node.value)
    raise CasesUnreadableError(ast.unparse(node)[:80])


@cache
def _module(path: Path) -> ParsedTests:
    return ParsedTests(path.read_text(encoding="utf-8"))
