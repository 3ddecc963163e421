"""A core for each test process; fixtures for every test that needs a store: the same test on SQLite and on PostgreSQL."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

_START_TIMEOUT_S = 60
_numbers = itertools.count()


def pytest_configure() -> None:
    """Give each of several test processes a core of its own. Else each starts as many threads as there are cores, and they
    wait for one another, spinning: with two processes on two cores, tunings take twice as long."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if worker and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[int(worker.removeprefix("gw")) % len(cores)]})


@dataclass
class PostgresServer:
    """A PostgreSQL server of the tests' own, on a free port, in a temporary folder, never as root."""

    binaries: Path
    folder: Path
    port: int

    def url(self, database: str, user: str = "metier") -> str:
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
        options += " -c synchronous_commit=off -c full_page_writes=off -c max_connections=60"
        self._run("pg_ctl", "start", "-w", "-D", "data", "-l", "log", "-o", options)

    def stop(self) -> None:
        """As a crash of the server looks to its clients: connections break at once."""
        self._run("pg_ctl", "stop", "-w", "-m", "immediate", "-D", "data")

    def initialise(self) -> None:
        self._run("initdb", "-D", "data", "-U", "metier", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")

    def sql(self, statement: str, database: str = "postgres") -> None:
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True) as connection:
            connection.execute(statement.encode())

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self.binaries / program), *arguments]
        if os.geteuid() == 0:
            # The server refuses to run as root; Debian's package makes this user.
            command = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *command]
        with (self.folder / "commands.log").open("ab") as log:
            done = subprocess.run(
                command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                timeout=_START_TIMEOUT_S,
                check=False,
                env={**os.environ, "LC_ALL": "C"},
            )
        if done.returncode != 0:
            said = "\n".join(file.read_text() for file in self.folder.glob("*log"))
            raise RuntimeError(f"{program} failed:\n{said[-3_000:]}")


def _binaries() -> Path | None:
    found = [path for path in Path("/usr/lib/postgresql").glob("*/bin") if (path / "initdb").exists()]
    if found:
        return max(found, key=lambda path: [int(part) for part in re.findall(r"\d+", path.parent.name)])
    initdb = shutil.which("initdb")
    return Path(initdb).resolve().parent if initdb else None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A server that runs for the session. Tests may stop it, if they start it again."""
    binaries = _binaries()
    if binaries is None:
        pytest.skip("PostgreSQL's server is not installed (apt-get install postgresql)")
    if os.geteuid() == 0 and subprocess.run(["id", "postgres"], capture_output=True, check=False).returncode != 0:
        pytest.skip("PostgreSQL's server refuses to run as root, and there is no user postgres")
    # Not below pytest's own folder, which other users cannot enter.
    folder = Path(tempfile.mkdtemp(prefix="metier-postgres-"))
    server = PostgresServer(binaries, folder, _free_port())
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
    try:
        server.initialise()
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def _migrated(postgres_server: PostgresServer) -> str:
    """A database with the tables, from which others are copied: quicker than migrating each."""
    from metier.store.database import open_database

    postgres_server.sql("CREATE DATABASE migrated")
    open_database(postgres_server.url("migrated")).close()
    return "migrated"


@pytest.fixture
def postgres_url(postgres_server: PostgresServer, _migrated: str) -> Iterator[str]:
    """The URL of an empty store in PostgreSQL."""
    name = f"store_{os.getpid()}_{next(_numbers)}"
    postgres_server.sql(f"CREATE DATABASE {name} TEMPLATE {_migrated}")
    yield postgres_server.url(name)
    postgres_server.sql(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgresql"])
def store_location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a test's store lies: once a SQLite file that does not exist yet, once an empty store in PostgreSQL."""
    if request.param == "sqlite":
        return str(tmp_path / "traffic.db")
    return str(request.getfixturevalue("postgres_url"))
