"""The internals of `multiprocessing` that the wire and the manager rest on, on every Python at hand."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

VERSIONS = ("3.11", "3.12", "3.13", "3.14")

CONTRACT = r"""
import inspect
from multiprocessing import AuthenticationError, ProcessError, connection, context, managers, process, util

def names(function, *wanted):
    got = [p for p in inspect.signature(function).parameters]
    assert got == list(wanted), (function, got)

# The serializer's registry, and what its two classes are given.
Listener, Client = managers.listener_client["pickle"]
assert "listener_client[serializer]" in inspect.getsource(managers.Server.__init__)
assert "Listener(address=address, backlog=" in inspect.getsource(managers.Server.__init__)
assert "self._Listener, self._Client = listener_client[serializer]" in inspect.getsource(managers.BaseManager.__init__)

# What the server overrides and sets.
names(managers.Server.__init__, "self", "registry", "address", "authkey", "serializer")
names(managers.Server.accepter, "self")
names(managers.Server.handle_request, "self", "conn")
assert len(inspect.signature(managers.Server._handle_request).parameters) == 2
names(managers.Server.serve_client, "self", "conn")
names(managers.Server.serve_forever, "self")
names(managers.Server.create, "self", "c", "typeid", "args", "kwds")
names(managers.Server.incref, "self", "c", "ident")
names(managers.Server.decref, "self", "c", "ident")
names(managers.Server.dummy, "self", "c")
names(managers.Server.accept_connection, "self", "c", "name")
assert set(managers.Server.public) >= {"accept_connection", "create", "dummy", "shutdown", "debug_info"}
for name in ("registry", "authkey", "listener", "address", "id_to_obj"):
    assert f"self.{name} = " in inspect.getsource(managers.Server.__init__), name

# How a call is made and answered.
class Wire:
    def __init__(self, answer): self.answer = answer
    def send(self, value): self.sent = value
    def recv(self): return self.answer
wire = Wire(("#RETURN", 7))
assert managers.dispatch(wire, None, "create", ("Queue",)) == 7
assert wire.sent == (None, "create", ("Queue",), {}), wire.sent
try:
    managers.dispatch(Wire(("#ERROR", LookupError("x"))), None, "dummy")
except LookupError:
    pass
else:
    raise AssertionError("an #ERROR is raised as it is")

# The manager.
names(managers.BaseManager.__init__, "self", "address", "authkey", "serializer", "ctx", "shutdown_timeout")
names(managers.BaseManager.get_server, "self")
names(managers.BaseManager.connect, "self")
for name in ("_address", "_authkey", "_serializer", "_Client"):
    assert name in inspect.getsource(managers.BaseManager.__init__), name
assert isinstance(managers.BaseManager._registry, dict)

# The proxy.
names(managers.BaseProxy.__init__,
      "self", "token", "serializer", "manager", "authkey", "exposed", "incref", "manager_owned")
names(managers.BaseProxy._callmethod, "self", "methodname", "args", "kwds")
names(managers.BaseProxy._incref, "self")
names(managers.Token, "typeid", "address", "id")
assert "if incref:" in inspect.getsource(managers.BaseProxy.__init__)
assert "self._incref()" in inspect.getsource(managers.BaseProxy._after_fork)
assert "__dict__.clear()" in inspect.getsource(util.ForkAwareLocal)
assert callable(context.get_spawning_popen)

# The challenge needs nothing of a connection but two methods, and both sides agree.
names(connection.answer_challenge, "connection", "authkey")
assert list(inspect.signature(connection.deliver_challenge).parameters)[:2] == ["connection", "authkey"]
assert issubclass(AuthenticationError, ProcessError) and not issubclass(AuthenticationError, OSError)
import queue, threading
class Half:
    def __init__(self, inbox, outbox): self.inbox, self.outbox = inbox, outbox
    def send_bytes(self, body): self.outbox.put(bytes(body))
    def recv_bytes(self, maxlength=None): return self.inbox.get(timeout=10)
def challenge(secret, other):
    one, two = queue.Queue(), queue.Queue()
    failed = []
    def answer():
        try:
            connection.answer_challenge(Half(one, two), other)
        except AuthenticationError as error:
            failed.append(error)
    thread = threading.Thread(target=answer)
    thread.start()
    try:
        connection.deliver_challenge(Half(two, one), secret)
    except AuthenticationError as error:
        failed.append(error)
    thread.join(10)
    return len(failed)
assert challenge(b"a" * 32, b"a" * 32) == 0
assert challenge(b"a" * 32, b"b" * 32) == 2
print("kept")
"""


def _interpreter(version: str) -> str | None:
    """A Python of this version that runs: this one, one on the path, or one that pyenv keeps."""
    if version == f"{sys.version_info[0]}.{sys.version_info[1]}":
        return sys.executable
    kept = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [shutil.which(f"python{version}"), *sorted(kept.glob(f"{version}.*/bin/python"))]
    return next((str(path) for path in candidates if path and _runs(str(path), version)), None)


def _runs(path: str, version: str) -> bool:
    script = "import sys; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run([path, "-S", "-c", script], capture_output=True, text=True, check=False, timeout=60)
    return done.stdout.strip() == version


@pytest.mark.parametrize("version", VERSIONS)
def test_the_standard_manager_is_what_ours_is_built_on(version: str) -> None:
    python = _interpreter(version)
    if python is None:
        pytest.skip(f"no Python {version} on this machine")
    done = subprocess.run([python, "-S", "-c", CONTRACT], capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("kept", "")
