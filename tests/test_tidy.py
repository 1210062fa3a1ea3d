"""The source reads well: what ruff and mypy cannot see, over every file of the four layers."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = ("api", "adapters", "headend", "protocols", "migrations")
TEXT = re.compile(r"\.(py|toml|json|sql|md|ya?ml|conf|service|mako|sh)$")

MODULE_LINES = 400
FUNCTION_LINES = 50

NAMELESS_MODULES = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "managers"}
NAMELESS_CLASSES = re.compile(r"(Manager|Helper|Helpers|Util|Utils|Handler)$")
LOG_CALLS = {"debug", "info", "warning", "error", "exception", "critical"}
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
MACHINE_PATH = re.compile(r"(?<![\w.])/(work|root|home/\w+|Users/\w+|tmp)/")
REGISTRY = re.compile(r"\b(pypi\.org|pythonhosted\.org|npmjs\.org|crates\.io|ghcr\.io)\b")
TRACKER = re.compile(r"\b(issue|ticket|bug|PR)s? #\d+\b", re.IGNORECASE)
EXEMPTION = re.compile(
    r"#\s*(?:type: ignore(?:\[[\w, -]+\])?|noqa(?:: ?[A-Z]+\d+(?:, ?[A-Z]+\d+)*)?)"
)
REASON_CHARACTERS = 10

# Started by name and not by import: the command, and what alembic finds in its folder.
ENTRY_POINTS = re.compile(r"^(api/cli|adapters/mqtt/demo_broker|migrations/.*)\.py$")

MODULES = sorted(path for layer in LAYERS for path in (ROOT / layer).rglob("*.py"))
EVERY_FILE = sorted(
    path
    for folder in (*LAYERS, "deploy", "docs", "tests", ".ci")
    for path in (ROOT / folder).rglob("*")
    if path.is_file() and "__pycache__" not in path.parts
) + sorted(path for path in ROOT.iterdir() if path.is_file() and TEXT.search(path.name))
Function = ast.FunctionDef | ast.AsyncFunctionDef


def test_there_is_source_to_read():
    assert {name_of(path).split("/")[0] for path in MODULES} >= {"headend", "protocols"}


def test_a_module_fits_a_readers_head():
    assert [name_of(path) for path in MODULES if len(lines(path)) > MODULE_LINES] == []


def test_a_function_fits_the_screen():
    functions = ((path, node) for path, node in nodes() if isinstance(node, Function))
    long = (
        (path, function)
        for path, function in functions
        if (function.end_lineno or 0) - function.lineno >= FUNCTION_LINES
    )
    assert [f"{name_of(path)}: {function.name}" for path, function in long] == []


def test_a_module_says_what_it_is():
    docstrings = {path: ast.get_docstring(tree(path)) or "" for path in MODULES}
    assert [name_of(path) for path, text in docstrings.items() if len(text.split()) < 3] == []


def test_a_name_names_something():
    classes = (node.name for _, node in nodes() if isinstance(node, ast.ClassDef))
    assert [name_of(path) for path in MODULES if path.stem in NAMELESS_MODULES] == []
    assert [name for name in classes if NAMELESS_CLASSES.search(name)] == []


def test_no_error_is_swallowed():
    handlers = ((path, node) for path, node in nodes() if isinstance(node, ast.ExceptHandler))
    assert [place(path, node.lineno) for path, node in handlers if swallows(node)] == []


def test_a_log_line_is_a_fixed_phrase():
    calls = ((path, node) for path, node in nodes() if isinstance(node, ast.Call))
    assert [place(path, node.lineno) for path, node in calls if logs_a_sentence(node)] == []


def test_an_exemption_tells_its_reason():
    assert [
        place(path, number)
        for path in MODULES
        for number, line in enumerate(lines(path), start=1)
        if lacks_reason(line)
    ] == []


def test_every_module_is_used():
    used = {name for path in MODULES for name in imports(path)}
    candidates = (path for path in MODULES if not ENTRY_POINTS.match(name_of(path)))
    assert [name_of(path) for path in candidates if unused(path, used)] == []


def test_no_file_is_empty():
    assert [name_of(path) for path in EVERY_FILE if not path.read_bytes().strip()] == []


@pytest.mark.parametrize(
    "unwanted", [UNFINISHED, MACHINE_PATH, REGISTRY, TRACKER], ids=lambda pattern: pattern.pattern
)
def test_the_text_speaks_of_the_project_only(unwanted: re.Pattern[str]):
    assert [
        f"{place(path, number)}: {line.strip()}"
        for path in EVERY_FILE
        if TEXT.search(path.name) and path != Path(__file__)
        for number, line in enumerate(lines(path), start=1)
        if unwanted.search(line)
    ] == []


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def place(path: Path, line: int) -> str:
    return f"{name_of(path)}:{line}"


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=name_of(path))


def nodes() -> Iterator[tuple[Path, ast.AST]]:
    for path in MODULES:
        for node in ast.walk(tree(path)):
            yield path, node


def swallows(handler: ast.ExceptHandler) -> bool:
    """Say whether this is `except Exception` (or wider) that does not raise again."""
    caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    names = {"everything" if kind is None else ast.unparse(kind) for kind in caught}
    if not names & {"everything", "Exception", "BaseException"}:
        return False
    return not any(isinstance(node, ast.Raise) for part in handler.body for node in ast.walk(part))


def logs_a_sentence(call: ast.Call) -> bool:
    """Say whether this writes a log line that is not one literal string and named fields."""
    match call:
        case ast.Call(
            func=ast.Attribute(value=ast.Name(id="log" | "_log"), attr=level), args=arguments
        ) if level in LOG_CALLS:
            phrases = [part.value for part in arguments if isinstance(part, ast.Constant)]
            return not (len(arguments) == len(phrases) == 1 and isinstance(phrases[0], str))
        case _:
            return False


def lacks_reason(line: str) -> bool:
    exemption = EXEMPTION.search(line)
    if exemption is None:
        return False
    return len(line[exemption.end() :].strip(" #-:;()")) < REASON_CHARACTERS


def imports(path: Path) -> Iterator[str]:
    """Yield every module that this one may import: `from a import b` means a, or a.b."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def unused(path: Path, used: set[str]) -> bool:
    """Say whether nobody imports a module, or for a package, anything inside it."""
    name = name_of(path).removesuffix(".py").replace("/", ".")
    package = name.removesuffix(".__init__")
    if package == name:
        return name not in used
    return not any(other == package or other.startswith(f"{package}.") for other in used)
