"""The house keeps its shape: imports point down one list, and pure modules do no I/O."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "digipoort_as4"

LAYERS: tuple[frozenset[str], ...] = (
    frozenset({"cli", "local", "gateway", "worker", "agency", "commands", "desk", "pytest_plugin"}),
    frozenset({"console", "sdk"}),
    frozenset({"wus", "as4"}),
    frozenset({"validation"}),
    frozenset({"storage", "transport"}),
    frozenset({"wssecurity"}),
    frozenset({"pki", "hub"}),
    frozenset({"soap"}),
    frozenset({"codes", "errors", "limits", "config", "payload", "journal", "clock"}),
)
"""Top to bottom; a module imports from its own layer's own part and from any layer below."""

NARROW = {
    "wssecurity": {"soap", "pki", "errors", "limits", "payload"},
    "soap": {"errors", "limits", "payload"},
    "storage": {"hub", "errors", "limits", "payload"},
    "transport": {"pki", "errors", "limits", "payload", "journal", "clock"},
}
"""Parts that may import less than everything below them."""

PEERS_APART = {
    ("wus", "as4"),
    ("as4", "wus"),
    ("storage", "transport"),
    ("transport", "storage"),
    ("pki", "hub"),
    ("hub", "pki"),
}

SIDEWAYS = (
    {"cli", "local", "gateway", "worker", "agency", "commands", "desk", "pytest_plugin"},
    {"codes", "errors", "limits", "config", "payload", "journal", "clock"},
)
"""The processes start one another and the words at the bottom use one another; no other layer imports sideways."""

PURE = ("soap/", "wssecurity/", "pki/path.py", "pki/certificates.py", "hub/")
"""Parts that neither open, wait, look at a clock, make an id nor read the environment."""

IMPURE_MODULES = frozenset(
    [
        "os",
        "sqlite3",
        "socket",
        "ssl",
        "subprocess",
        "time",
        "random",
        "secrets",
        "uuid",
        "asyncio",
        "tempfile",
        "shutil",
        "logging",
        "threading",
        "multiprocessing",
        "concurrent",
        "urllib",
        "http",
        "aiohttp",
        "requests",
        "zeep",
        "click",
        "fcntl",
        "signal",
    ]
)
IMPURE_CALLS = frozenset(
    {"now", "utcnow", "today", "read_text", "read_bytes", "write_text", "write_bytes", "uuid4", "token_hex"}
)

IMPURE_ON_PURPOSE = {"hub/verwerken.py": {"asyncio"}, "soap/xop.py": {"urllib"}}
"""verwerken.process is the one path in the hub; it waits for the store and the validators handed to it. xop decodes a
cid: URL with urllib.parse, which only computes."""

UNVERIFIED_READERS = {"wssecurity/open_message.py"}
"""Who may make an Opened."""


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_parts(path: Path) -> set[str]:
    """The parts of this package that a module imports, type-checking imports included."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "digipoort_as4":
            parts = node.module.split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {a.name.split(".")[1] for a in node.names if a.name.startswith("digipoort_as4.")}
    return found - {"__version__"}


def layer_of(part: str) -> int:
    for index, layer in enumerate(LAYERS):
        if part in layer:
            return index
    raise AssertionError(f"{part} has no place in the house; add it to LAYERS and to docs/architecture.md")


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    """A module imports only from its own part and from lower layers."""
    part = part_of(path)
    if part == "__init__":
        return
    for other in imported_parts(path) - {part}:
        sideways = any(part in group and other in group for group in SIDEWAYS)
        assert sideways or layer_of(other) > layer_of(part), f"{path.name} imports {other}, which is not below {part}"
        assert (part, other) not in PEERS_APART
        assert part not in NARROW or other in NARROW[part], f"{part} may import {sorted(NARROW[part])}, not {other}"


def is_pure(path: Path) -> bool:
    return str(path.relative_to(PACKAGE)).startswith(PURE)


def impurities(tree: ast.AST, allowed: set[str]) -> list[str]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [a.name for a in node.names if a.name.split(".")[0] in IMPURE_MODULES - allowed]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found += [node.module] if node.module.split(".")[0] in IMPURE_MODULES - allowed else []
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in {"open", "print", "input"}
        ):
            found.append(f"{node.func.id}() in line {node.lineno}")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in IMPURE_CALLS:
            found.append(f".{node.func.attr}() in line {node.lineno}")
    return found


@pytest.mark.parametrize("path", [p for p in modules() if is_pure(p)], ids=lambda p: str(p.relative_to(PACKAGE)))
def test_pure_modules_do_nothing_outside(path: Path) -> None:
    """Time, ids, keys and settings are arguments there."""
    allowed = IMPURE_ON_PURPOSE.get(str(path.relative_to(PACKAGE)), set())
    assert [] == impurities(ast.parse(path.read_text(encoding="utf-8")), allowed)


def functions_named(prefixes: tuple[str, ...]) -> list[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    return [
        (f"{path.relative_to(PACKAGE)}:{node.name}", node)
        for path in modules()
        if part_of(path) in {"wus", "hub", "as4"}
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith(prefixes)
    ]


@pytest.mark.parametrize(
    ("name", "function"), functions_named(("decide", "build", "judge")), ids=lambda v: v if isinstance(v, str) else ""
)
def test_deciding_and_building_are_pure(name: str, function: ast.AST) -> None:
    """decide and build wait for nothing and look at nothing but their arguments."""
    assert isinstance(function, ast.FunctionDef), f"{name} is async"
    assert [] == impurities(function, set())


def test_opened_is_made_in_one_place() -> None:
    """Only wssecurity.open_message calls Opened(...)."""
    makers = {
        str(path.relative_to(PACKAGE))
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Opened"
    }
    assert makers <= UNVERIFIED_READERS


def test_xml_is_parsed_in_one_place() -> None:
    """soap.xml_guard holds the only parser of messages; validation streams documents under its own limits."""
    names = {"fromstring", "XMLParser", "XMLPullParser", "iterparse", "parse"}
    places = {
        str(path.relative_to(PACKAGE))
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and node.attr in names
        and isinstance(node.value, ast.Name)
        and node.value.id == "etree"
    }
    assert places <= {
        "soap/xml_guard.py",
        "soap/document_guard.py",
        "validation/wellformed.py",
        "wus/koppelvlak.py",
        "wus/schema.py",
    }


def test_no_broad_except_outside_the_outermost_loops() -> None:
    """`except Exception` stands only where a process must go on."""
    places = {
        str(path.relative_to(PACKAGE))
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ExceptHandler) and isinstance(node.type, ast.Name) and node.type.id == "Exception"
    }
    assert places <= {"gateway.py", "worker.py", "agency.py", "transport/server.py", "cli/main.py"}


def test_no_assert_in_the_package() -> None:
    """A peer's data is never judged by assert, which -O strips."""
    asserting = [
        str(path.relative_to(PACKAGE))
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Assert)
    ]
    assert [] == asserting


def test_budgets() -> None:
    """Package < 18,000 lines; verify side <= 1,200; no function above 80; every line counts."""
    total = sum(len(p.read_text(encoding="utf-8").splitlines()) for p in modules())
    verify = ("open_message.py", "signature.py", "c14n.py", "algorithms.py")
    verify_lines = sum(len((PACKAGE / "wssecurity" / name).read_text(encoding="utf-8").splitlines()) for name in verify)
    long = [
        f"{p.relative_to(PACKAGE)}:{n.name} {n.end_lineno - n.lineno + 1}"
        for p in modules()
        for n in ast.walk(ast.parse(p.read_text(encoding="utf-8")))
        if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef)) and n.end_lineno and n.end_lineno - n.lineno + 1 > 80
    ]
    print(f"package: {total} lines; verify side of wssecurity: {verify_lines} lines")
    assert total < 18_000
    assert verify_lines <= 1_200
    assert [] == long
