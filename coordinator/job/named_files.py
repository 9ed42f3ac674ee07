"""The files that a job names: its hook, which is compiled but never run here, certificates that it trusts, secrets.

Must not import the hook: that happens in workers. Every refusal is a `ValueError` with one sentence.
"""

from __future__ import annotations

import ast
import io
import re
import ssl
import tokenize
import warnings
from pathlib import Path

MAX_BYTES = 1024 * 1024
#: The function of a hook that makes rows, unless the job names another.
PARSE = "parse"

_HOOK = re.compile(r"(?P<path>.+\.py):(?P<function>[^\W\d]\w*)", re.DOTALL)


def hook_named(value: str) -> tuple[str, str]:
    """Return the path and the function of a hook that is named `FILE.py` or `FILE.py:FUNCTION`."""
    named = _HOOK.fullmatch(value)
    return (named["path"], named["function"]) if named is not None else (value, PARSE)


def read_hook(path: Path, function: str = PARSE) -> str:
    """Return the text of a hook that defines a function; raise `ValueError` naming file and line at fault."""
    if path.suffix != ".py":
        raise ValueError(f"{path.name!r} is no Python file: its name must end in .py")
    source = _decode(path, _read(path, "move data out of it"))
    tree = _compile(path, source)
    # What `from x import *` brings is not known before it runs.
    parse = next((node for node in tree.body if not {function, "*"}.isdisjoint(_defined(node))), None)
    if parse is None:
        raise ValueError(f"{path} defines no {function}: write def {function}(page) at its top level")
    fault = _fault_of(parse)
    if fault:
        raise ValueError(f"{path}:{parse.lineno}: {function} {fault}: write def {function}(page)")
    return source


def prepares_sessions(source: str) -> bool:
    """Return whether a hook has a function `session`, which prepares the sessions of requests."""
    return any(isinstance(node, ast.FunctionDef) and node.name == "session" for node in ast.parse(source).body)


def read_ca_file(path: Path) -> str:
    """Return the text of a file of certificates (PEM); raise `ValueError` if it is unreadable or holds none."""
    try:
        text = _read(path, "leave out what is not needed").decode("ascii")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no PEM: write the certificates as text") from error
    if "PRIVATE KEY-----" in text:
        raise ValueError(f"{path} holds a private key, which workers would be sent: take it out")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text)
    except (ssl.SSLError, ValueError) as error:
        raise ValueError(f"{path} holds no certificates in PEM: check it with openssl x509 -in {path.name}") from error
    return text


def read_secret(path: Path) -> str:
    """Return the text of a file that holds a secret; raise `ValueError` if it is unreadable."""
    return _read(path, "write the secret alone into it").decode("ascii", "replace")


def _read(path: Path, make_smaller: str) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise ValueError(f"there is no file {path}: paths are relative to the job file") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ValueError(f"{path} cannot be read ({reason}): check it and its permissions") from error
    if len(data) > MAX_BYTES:
        raise ValueError(f"{path} is larger than {MAX_BYTES // 1024} KiB: {make_smaller}")
    return data


def _decode(path: Path, data: bytes) -> str:
    """Decode as Python does: by byte order mark or coding line (PEP 263), else UTF-8."""
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        return io.TextIOWrapper(io.BytesIO(data), encoding).read()
    except (SyntaxError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not UTF-8 text: save it as UTF-8") from error


def _compile(path: Path, source: str) -> ast.Module:
    try:
        # An invalid escape in a user's hook is worth no more than the warning that its import gives.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source, str(path))
            compile(tree, str(path), "exec", dont_inherit=True)
    except SyntaxError as error:
        raise ValueError(f"{path}:{error.lineno or 1}: {error.msg}: mend the hook") from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"{path} does not compile ({error}): mend the hook") from error
    return tree


def _defined(node: ast.AST) -> set[str]:
    """Return the names that a top-level statement certainly or possibly binds to something callable."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Assign):
        return {name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name)}
    if isinstance(node, ast.AnnAssign):
        return {node.target.id} if isinstance(node.target, ast.Name) and node.value else set()
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {alias.asname or alias.name for alias in node.names}
    inner = (child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt | ast.ExceptHandler))
    return {name for child in inner for name in _defined(child)}


def _fault_of(node: ast.stmt) -> str:
    if isinstance(node, ast.AsyncFunctionDef):
        return "is async"
    if isinstance(node, ast.FunctionDef) and not _takes_one(node.args):
        return "must take the page and nothing else"
    return ""


def _takes_one(arguments: ast.arguments) -> bool:
    positional = len(arguments.posonlyargs) + len(arguments.args)
    required = positional - len(arguments.defaults)
    needed_by_name = any(default is None for default in arguments.kw_defaults)
    return required <= 1 and (positional >= 1 or arguments.vararg is not None) and not needed_by_name
