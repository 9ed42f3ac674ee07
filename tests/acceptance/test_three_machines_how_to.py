"""The page about a crawl that goes from a laptop to three machines, run from its own text.

A machine is a folder, its user's home, and an address of loopback; the database is a real server, with TLS and
passwords.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest

from crawlfleet.demo.server import DemoSite
from crawlfleet.demo.shop import BOOKS
from tests.acceptance.crawls import CRAWLFLEET, lines
from tests.fault.fleet_processes import await_that, end_group, free_port
from tests.site.authority import Authority
from tests.site.postgresql_server import USER, PostgresqlServer, programs

PAGE = (Path(__file__).parents[2] / "docs/how-to/from-one-machine-to-three.md").read_text("utf-8")
BLOCKS: dict[str, str] = dict(re.findall(r"^```\w+ (\w+=[\w.]+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE))
PLACES = {"a": "127.0.0.11", "b": "127.0.0.12", "c": "127.0.0.13"}
PASSWORD = BLOCKS["file=.pgpass"].strip().rpartition(":")[2]
FIRST_ROWS = 10
END_S = 60.0
OWNED_BY_OTHER = "owns the crawl since"
SERVING = "start workers on this machine with:"

pytestmark = [
    pytest.mark.server,
    pytest.mark.timeout(300),
    pytest.mark.skipif(programs() is None, reason="not installed: postgresql"),
]


class Network:
    """The addresses and ports that stand here for those of the page."""

    def __init__(self, site: DemoSite) -> None:
        self.database_port, port = free_port(), free_port()
        database = f"{PLACES['c']}:{self.database_port}"
        self._meant = {
            "http://laptop.test:8765/": site.base,
            "@c.test/": f"@{database}/",
            "c.test:5432": database,
            **{f"{name}.test": place for name, place in PLACES.items()},
            ":7320": f":{port}",
        }

    def here(self, text: str) -> str:
        """Return a text of the page with what it means here."""
        for name, meant in self._meant.items():
            text = text.replace(name, meant)
        return text


class Machine:
    """A machine of the page, and what its user has started there."""

    def __init__(self, name: str, folder: Path, network: Network) -> None:
        self._name = name
        self._network = network
        self.home = folder / name
        self.home.mkdir()
        self._started: dict[str, subprocess.Popen[bytes]] = {}

    def write(self, block: str, path: str, mode: str = "w") -> None:
        """Write a block of the page into a file, or append it."""
        (self.home / path).parent.mkdir(exist_ok=True)
        with (self.home / path).open(mode) as file:
            file.write(self._network.here(BLOCKS[block]))
        (self.home / path).chmod(0o600)

    def start(self, block: str) -> subprocess.Popen[bytes]:
        """Type the command of a block."""
        text = self._network.here(BLOCKS[f"{self._name}={block}"])
        program, *words = shlex.split(text.replace("0.0.0.0", PLACES.get(self._name, "")))
        assert program == "crawlfleet"
        with (self.home / f"{block}.txt").open("ab") as out:
            self._started[block] = subprocess.Popen(
                [*CRAWLFLEET, *words],
                cwd=self.home,
                env={**os.environ, "HOME": str(self.home)},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self._started[block]

    def does(self, block: str) -> None:
        """Type the command of a block, and see that it ends well."""
        self.start(block)
        self.ends_well(block)

    def ends_well(self, block: str) -> None:
        """Wait for the end of the command of a block."""
        assert self._started[block].wait(END_S) == 0, self.said(block)

    def said(self, block: str) -> str:
        """Return what the command of a block has said, each time that it was given."""
        return " ".join((self.home / f"{block}.txt").read_text(errors="replace").split())

    def await_said(self, block: str, words: str) -> None:
        """Wait until the command of a block has said some words."""

        def is_said() -> bool:
            assert words in self.said(block) or self._started[block].poll() is None, self.said(block)
            return words in self.said(block)

        await_that(is_said, END_S, f"{words!r} of {self._name}")

    def copies(self, block: str) -> None:
        """Type the lines of a block, each of which copies files to another machine's home."""
        for line in BLOCKS[f"{self._name}={block}"].splitlines():
            program, *options, what, target = shlex.split(line)
            name, _, folder = target.partition(".test:")
            assert (program, folder) == ("scp", "")
            subprocess.run(["cp", *options, what, self.home.parent / name], cwd=self.home, check=True)

    def is_switched_off(self) -> None:
        """Kill all that was started here."""
        for process in self._started.values():
            end_group(process)


@pytest.fixture
def network(site: DemoSite) -> Network:
    return Network(site)


@pytest.fixture
def machines(network: Network, tmp_path: Path) -> Iterator[dict[str, Machine]]:
    """Return the machines by their names; the three that talk to the database can."""
    with ExitStack() as stack:
        made = {name: Machine(name, tmp_path, network) for name in ("laptop", *PLACES)}
        authority = Authority()
        certificate = authority.sign(tmp_path / "server.pem", PLACES["c"])
        stack.enter_context(serving(network, certificate))
        for name in ("laptop", "a", "b"):
            made[name].write("file=.pgpass", ".pgpass")
            (made[name].home / ".postgresql").mkdir()
            (made[name].home / ".postgresql/root.crt").write_text(authority.pem)
        for machine in made.values():
            stack.callback(machine.is_switched_off)
        yield made


@contextmanager
def serving(network: Network, certificate: Path) -> Iterator[None]:
    """Run the server of the page: who comes over the network needs TLS and a password."""
    own = (f"listen_addresses={PLACES['c']}", f"port={network.database_port}")
    server = PostgresqlServer(*own, "ssl=on", "ssl_cert_file=own.pem", "ssl_key_file=own.pem", syncs=True)
    data = server.folder / "data"
    shutil.copy(certificate, data / "own.pem")
    (data / "own.pem").chmod(0o600)
    shutil.chown(data / "own.pem", data.owner(), data.group())
    (data / "pg_hba.conf").write_text(f"local all {USER} trust\n{BLOCKS['c=pg_hba.conf']}")
    with server:
        with psycopg.connect(f"{server.address()}&port={network.database_port}", autocommit=True) as db:
            for statement in BLOCKS["c=database"].split(";\n"):
                db.execute(statement.encode())
            db.execute(f"ALTER ROLE fleet PASSWORD '{PASSWORD}'".encode())
        yield


def rows_of(path: Path) -> list[tuple[str, str]]:
    return sorted((row["title"], row["price"]["amount"]) for row in lines(path))


def test_the_page_does_what_it_says(machines: dict[str, Machine], site: DemoSite) -> None:
    laptop, a, b, c = machines.values()
    laptop.write("job=shop.yaml", "shop.yaml")
    begun = laptop.start("begin")
    items = laptop.home / "crawls/shop/items.jsonl"
    await_that(lambda: items.exists() and items.read_bytes().count(b"\n") >= FIRST_ROWS, END_S, "rows of the laptop")
    begun.send_signal(signal.SIGINT)
    assert begun.wait(END_S) == 130, laptop.said("begin")
    fetched = {row["url"].removeprefix(site.base.rstrip("/")) for row in lines(items)}

    laptop.does("move")
    assert not (laptop.home / "crawls/shop/frontier.db").exists()
    assert (laptop.home / "crawls/shop/frontier.db.moved").exists()
    laptop.write("more=shop.yaml", "shop.yaml", "a")
    laptop.copies("copy")

    a.start("coordinator")
    a.await_said("coordinator", SERVING)
    a.copies("copy")
    b.start("coordinator")
    b.await_said("coordinator", OWNED_BY_OTHER)
    for machine in (a, b, c):
        machine.start("worker")
    a.await_said("coordinator", "joined")

    a.is_switched_off()
    b.await_said("coordinator", SERVING)
    a.start("coordinator")
    a.await_said("coordinator", OWNED_BY_OTHER)
    a.start("worker")
    for machine in (a, b, c):
        machine.ends_well("worker")
    for machine in (a, b):
        machine.ends_well("coordinator")

    laptop.does("export")
    laptop.does("verify")
    truth = sorted((book.title, f"{book.price / 100:.2f}") for book in BOOKS)
    for path in (laptop.home / "rows.jsonl", *(each.home / "crawls/shop/items.jsonl" for each in (a, b))):
        assert rows_of(path) == truth
    assert {path: site.hits[path] for path in fetched} == dict.fromkeys(fetched, 1)
