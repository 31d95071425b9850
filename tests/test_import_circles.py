"""No module of edgessd imports itself by a detour, not even inside a function."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import edgessd

ROOT = Path(edgessd.__file__).parent


def module_names(root: Path) -> dict[str, Path]:
    """Dotted names of the modules below a package's folder, with their files."""
    names = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root.parent).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


def imported_names(tree: ast.AST) -> Iterator[str]:
    """Names that the import statements of a file refer to, wherever they stand.

    Imports for type checkers alone never run, so `if TYPE_CHECKING:` blocks are left out.
    """
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        else:
            yield from imported_names(node)


def import_graph(root: Path) -> dict[str, set[str]]:
    """Module → modules of the same package that it imports."""
    modules = module_names(root)
    graph = {}
    for module, path in modules.items():
        found = set()
        for name in imported_names(ast.parse(path.read_text(encoding="utf-8"))):
            # `from package.module import Class` names no module of its own.
            target = name if name in modules else name.rpartition(".")[0]
            if target in modules:
                found.add(target)
        graph[module] = found
    return graph


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules that reach each other (strongly connected components, Tarjan 1972)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        order[module] = low[module] = len(order)
        stack.append(module)
        for other in graph[module]:
            if other not in order:
                visit(other)
                low[module] = min(low[module], low[other])
            elif other in stack:
                low[module] = min(low[module], order[other])
        if low[module] == order[module]:
            group = stack[stack.index(module) :]
            del stack[stack.index(module) :]
            if len(group) > 1 or module in graph[module]:
                found.append(sorted(group))

    for module in graph:
        if module not in order:
            visit(module)
    return found


def test_no_module_imports_itself_by_a_detour() -> None:
    graph = import_graph(ROOT)
    assert len(graph) > 200
    assert circles(graph) == []


def test_a_circle_is_found_in_functions_and_not_in_type_checking(tmp_path: Path) -> None:
    root = tmp_path / "sample"
    root.mkdir()
    root.joinpath("__init__.py").write_text("")
    root.joinpath("a.py").write_text("def run():\n    from sample.b import work\n")
    root.joinpath("b.py").write_text("from sample import c\n")
    root.joinpath("c.py").write_text("import sample.a\n")
    root.joinpath("d.py").write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from sample.e import E\n"
    )
    root.joinpath("e.py").write_text("from sample.d import D\n")
    assert circles(import_graph(root)) == [["sample.a", "sample.b", "sample.c"]]
