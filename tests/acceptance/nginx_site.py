"""A folder of real pages served by nginx on loopback, and what its access log says of every client."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from urllib.parse import unquote

DOCUMENTATION = {
    "python": Path("/usr/share/doc/python3.11/html"),
    "postgresql": Path("/usr/share/doc/postgresql-doc-15/html"),
}
_CONFIG = """\
daemon off;
pid {folder}/nginx.pid;
worker_processes 1;
error_log {folder}/error.log warn;
events {{ worker_connections 2048; }}
http {{
    include /etc/nginx/mime.types;
    default_type application/octet-stream;
    log_format hits escape=json
        '{{"at":$msec,"uri":"$request_uri","status":$status,"type":"$sent_http_content_type","agent":"$http_user_agent"}}';
    access_log {folder}/access.log hits{buffer};
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 1000000;
    tcp_nodelay on;
    server {{
        listen 127.0.0.1:{port};
        root {root};
    }}
}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One request, answered at `at` (epoch). `uri` is the path and query as they stood in the request line."""

    at: float
    uri: str
    status: int
    type: str
    agent: str

    @property
    def is_page(self) -> bool:
        return self.status == 200 and self.type.startswith("text/html")


class NginxSite:
    """A running nginx of its own over one folder; a context manager."""

    def __init__(self, root: Path, folder: Path, *, buffered: bool = False) -> None:
        """With `buffered` the log costs less, and is whole only once the server has ended."""
        self.root = root
        self._buffer = " buffer=256k flush=1s" if buffered else ""
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._listener.getsockname()[1]
        self.base = f"http://127.0.0.1:{self.port}/"
        self._folder = folder
        self._config = folder / "nginx.conf"

    def __enter__(self) -> NginxSite:
        self._folder.mkdir(parents=True)
        text = _CONFIG.format(folder=self._folder, root=self.root, port=self.port, buffer=self._buffer)
        self._config.write_text(text)
        (self._folder / "access.log").touch()
        # nginx takes over the socket that listens already, as it does from an older self: nobody has to wait for it.
        listener = self._listener.fileno()
        command = [_nginx(), "-p", str(self._folder), "-c", str(self._config)]
        environment = {**os.environ, "NGINX": f"{listener};"}
        self._process = subprocess.Popen(command, env=environment, pass_fds=[listener], stderr=subprocess.DEVNULL)
        self._listener.close()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(timeout=20)

    def hits(self, agent: str) -> list[Hit]:
        """Tell what clients whose user agent starts so have asked for, in order."""
        lines = (self._folder / "access.log").read_text().splitlines(keepends=True)
        found = (Hit(**json.loads(line)) for line in lines if line.endswith("\n"))
        return [hit for hit in found if hit.agent.startswith(agent)]

    def page_uris(self, agent: str) -> list[str]:
        """Name, unquoted, each page that such clients were given, as often as they were."""
        return [unquote(hit.uri) for hit in self.hits(agent) if hit.is_page]

    def file_of(self, uri: str) -> Path:
        """Tell which file an unquoted URI names."""
        path = uri.partition("?")[0]
        return self.root / (path + "index.html" if path.endswith("/") else path).lstrip("/")


def missing() -> list[str]:
    """Name what the machine lacks for these tests."""
    programs = [name for name, path in (("nginx", _nginx()), ("wget2", shutil.which("wget2"))) if not path]
    return programs + [str(folder) for folder in DOCUMENTATION.values() if not folder.is_dir()]


def wget2(site: NginxSite, folder: Path) -> set[str]:
    """Crawl a site with wget2; give the unquoted URIs of the pages that it was given."""
    command = ["wget2", "--quiet", "--recursive", "--level=inf", "--no-robots", "--no-host-directories"]
    command += ["--user-agent=wget2", f"--directory-prefix={folder}", site.base]
    # 8: some link was answered with an error, as real documentation has it.
    assert subprocess.run(command, timeout=120, check=False).returncode in (0, 8)
    return set(site.page_uris("wget2"))


def _nginx() -> str:
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin") or ""
