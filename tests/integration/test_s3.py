"""Rows in an S3 store: a whole object at the end of a crawl, however its coordinator was killed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from crawlfleet.coordinator.offline.export import export
from crawlfleet.shared.errors import CrawlFailed, UsageError
from tests.unit.durable_crawl import DurableCrawl
from tests.unit.test_object_sink import LOG, content, output_at, run

ROOT = Path(__file__).parents[2]
# A server in a process of its own, as a store is: it names its address, and has a bucket.
_SERVER = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print("http://%s:%d" % server.get_host_and_port(), flush=True)
sys.stdin.read()
"""
_CRAWL = """
import sys
from pathlib import Path
from tests.unit.test_object_sink import LOG, output_at, run
run(output_at(sys.argv[1], Path(sys.argv[2])), LOG)
"""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    command = [sys.executable, "-c", _SERVER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        yield process.stdout.readline().decode().strip()
        process.stdin.close()


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    import s3fs

    for name, value in {
        "AWS_ENDPOINT_URL": server,
        "AWS_ACCESS_KEY_ID": "crawler",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    name = f"bucket-{os.urandom(6).hex()}"
    s3fs.S3FileSystem(skip_instance_cache=True).mkdir(name)
    return f"s3://{name}"


def test_an_object_is_there_whole_after_each_run(bucket: str, tmp_path: Path) -> None:
    output = output_at(f"{bucket}/deep/items.csv", tmp_path)
    mark = run(output, LOG[:5])
    assert content(output.shape.address) == output.path.read_bytes()
    run(output, LOG, mark)
    assert content(output.shape.address) == output.path.read_bytes()


def test_a_large_object_is_put_in_parts(bucket: str, tmp_path: Path) -> None:
    from crawlfleet.coordinator.sinks import object_sink

    path = tmp_path / "large"
    path.write_bytes(os.urandom(1024) * 1024 * 60)
    object_sink.put(path, f"{bucket}/large.bin")
    assert object_sink.size_at(f"{bucket}/large.bin") == path.stat().st_size


def test_a_process_that_is_killed_leaves_no_half_object(bucket: str, tmp_path: Path) -> None:
    output = output_at(f"{bucket}/items.jsonl", tmp_path)
    for wait_s in (0.6, 0.9, 1.2, 1.5, 2.0):
        process = subprocess.Popen([sys.executable, "-c", _CRAWL, output.shape.address, tmp_path], cwd=ROOT)
        try:
            process.wait(wait_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    run(output, LOG)
    assert (
        content(output.shape.address)
        == output.path.read_bytes()
        == b"".join(row for each in LOG for row in output.kind.rows_of(each))
    )


@pytest.mark.usefixtures("bucket")
def test_a_bucket_that_is_not_there_is_told_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(CrawlFailed, match=r"cannot reach s3://no-such-bucket/items.jsonl: "):
        run(output_at("s3://no-such-bucket/items.jsonl", tmp_path), LOG)


def test_an_export_is_put_there(bucket: str, tmp_path: Path) -> None:
    crawl = DurableCrawl(tmp_path)
    crawl.begin()
    crawl.finish()
    crawl.close()
    address = f"{bucket}/rows.csv.gz"
    assert export(tmp_path, address) == (4, 4, 0, "", (address,))
    with pytest.raises(UsageError, match=r"rows.csv.gz exists already"):
        export(tmp_path, address)
