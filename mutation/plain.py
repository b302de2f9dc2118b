"""The same code with `f = property(f)` for `@property`: mutmut leaves alone what is decorated."""

import ast

UNWRAPPED = {"property", "cached_property", "contextmanager"}
"""Decorators that may as well be called after the function stands."""


def without_decorators(source: str) -> str:
    """Write each sole decorator of UNWRAPPED as a call below its function."""
    lines = source.splitlines()
    for _, function in sorted(_functions(source), key=lambda named: -named[1].lineno):
        wrapper = ast.unparse(function.decorator_list[0])
        if len(function.decorator_list) == 1 and wrapper in UNWRAPPED:
            indent = " " * function.col_offset
            call = f"{indent}{function.name} = {wrapper}({function.name})"
            lines.insert(function.end_lineno or function.lineno, call)
            del lines[function.decorator_list[0].lineno - 1]
    return "\n".join(lines) + "\n"


def left_alone(source: str) -> list[str]:
    """Name the functions that stay decorated, and so unchanged; static and class methods do not."""
    return [
        name
        for name, function in _functions(without_decorators(source))
        if [ast.unparse(decorator) for decorator in function.decorator_list]
        not in (["staticmethod"], ["classmethod"])
    ]


def _functions(source: str) -> list[tuple[str, ast.FunctionDef]]:
    """The decorated functions and methods as (name, node)."""
    tree = ast.parse(source)
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    bodies = [("", tree.body), *((f"{node.name}.", node.body) for node in classes)]
    return [
        (f"{prefix}{node.name}", node)
        for prefix, body in bodies
        for node in body
        if isinstance(node, ast.FunctionDef) and node.decorator_list
    ]
