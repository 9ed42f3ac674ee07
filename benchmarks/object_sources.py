"""Objects that programs share by name: the fleet's, and those of the two that it is compared with.

    python -m benchmarks.object_sources manager|dask

serves the objects of a `multiprocessing` manager, or of a scheduler of dask.distributed, on loopback. The first line
printed is the address. Ends at SIGTERM.

A source is a function `open(kind, name, *options)` that returns a proxy; it raises `AttributeError` for a kind that it
does not have.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import threading
from collections.abc import Callable
from functools import partial
from multiprocessing.managers import SyncManager
from pathlib import Path
from typing import Any, TypeAlias, cast

from crawlfleet import connect

Source: TypeAlias = Callable[..., Any]

MANAGER, DASK = "manager", "dask"
AUTHKEY = b"a benchmark on loopback"
SET_METHODS = ("__contains__", "__len__", "add", "clear", "discard", "remove")

_shared: dict[tuple[str, str], Any] = {}
_sharing = threading.Lock()


class NamedManager(SyncManager):
    """The manager of the standard library, whose server gives the same object to all who ask for a name."""


def _named(kind: str, make: Callable[..., Any], name: str, *options: Any) -> Any:
    with _sharing:
        if (kind, name) not in _shared:
            _shared[kind, name] = make(*options)
        return _shared[kind, name]


def _register_names() -> None:
    registry: dict[str, tuple[Any, Any, Any, Any]] = SyncManager._registry  # type: ignore[attr-defined]  # not in typeshed
    for kind, (make, exposed, results, proxy) in list(registry.items()):
        if make is not None and kind != "Pool":
            NamedManager.register(
                kind, partial(_named, kind, make), exposed=exposed, method_to_typeid=results, proxytype=proxy
            )
    if "set" not in registry:  # it is there from Python 3.14 on
        NamedManager.register("set", partial(_named, "set", set), exposed=SET_METHODS)


_register_names()


def fleet_source(join_file: str) -> Source:
    """Open objects of a coordinator."""
    fleet = connect(Path(join_file))
    return lambda kind, name, *options: getattr(fleet, kind)(name, *options)


def manager_source(address: str) -> Source:
    """Open objects of a `NamedManager`."""
    host, _, port = address.partition(":")
    manager = NamedManager((host, int(port)), AUTHKEY)
    manager.connect()
    # The fleet's Value needs no typecode.
    needed: dict[str, tuple[Any, ...]] = {"Value": ("i", 0)}
    return lambda kind, name, *options: getattr(manager, kind)(name, *(options or needed.get(kind, ())))


def dask_source(address: str) -> Source:
    """Open objects of a scheduler of dask.distributed. A Variable is what it has for a Value."""
    import distributed

    logging.disable(logging.INFO)
    client = distributed.Client(address, set_as_default=True)

    def opened(kind: str, name: str, *options: Any) -> Any:
        match kind:
            case "Semaphore":
                return distributed.Semaphore(*options, name=name)
            case "Value":
                variable = distributed.Variable(name, client=client)
                variable.set(0)
                return variable
            case "Lock" | "Event" | "Queue":
                return getattr(distributed, kind)(name)
        raise AttributeError(kind)

    return opened


SOURCES: dict[str, Callable[[str], Source]] = {"fleet": fleet_source, MANAGER: manager_source, DASK: dask_source}


def serve_manager() -> None:
    """Serve a manager until SIGTERM."""
    server = NamedManager(("127.0.0.1", 0), AUTHKEY).get_server()
    host, port = cast(tuple[str, int], server.address)
    print(f"{host}:{port}", flush=True)
    server.serve_forever()


async def serve_dask() -> None:
    """Serve a scheduler without workers until SIGTERM."""
    import distributed

    logging.disable(logging.INFO)
    async with distributed.Scheduler(host="127.0.0.1", port=0, dashboard_address="127.0.0.1:0") as scheduler:
        print(scheduler.address, flush=True)
        await scheduler.finished()


def main() -> None:
    """Serve what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.object_sources", description="Serve shared objects.")
    parser.add_argument("what", choices=[MANAGER, DASK])
    if parser.parse_args().what == MANAGER:
        serve_manager()
    else:
        asyncio.run(serve_dask())


if __name__ == "__main__":
    main()
