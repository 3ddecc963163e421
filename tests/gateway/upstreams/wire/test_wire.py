"""The HTTP client against servers that send exactly the given bytes: framing, reuse, TLS, proxies."""

import asyncio
import contextlib
import shutil
import ssl
import subprocess
import time

import pytest

from metier.gateway.upstreams.wire import connecting
from metier.gateway.upstreams.wire.address import Address, Proxy
from metier.gateway.upstreams.wire.errors import Broken, ConnectTimedOut, NotConnected
from metier.gateway.upstreams.wire.exchange import begun
from metier.gateway.upstreams.wire.pool import Pool

REQUEST = b"POST /v1 HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
LONGEST_TEST_S = 30.0


@contextlib.asynccontextmanager
async def listening(serve, context=None):
    """A server on a free port, which it gives back; leaves nothing behind."""
    tasks = set()

    async def tidy(reader, writer):
        tasks.add(asyncio.current_task())
        try:
            await serve(reader, writer)
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            writer.transport.abort()
        finally:
            writer.close()

    server = await asyncio.start_server(tidy, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0.01)  # the event loop closes transports in its next turns


@contextlib.asynccontextmanager
async def serving(*answers, context=None, pause_s=0.0, closes=False):
    """A server that answers the n-th request (of all connections) with the n-th of `answers`, given as bytes or as a
    list of parts sent one by one; gives back its port and the connection of each request."""
    served = []
    numbers = iter(range(10_000))

    async def serve(reader, writer):
        number = next(numbers)
        while len(served) < len(answers):
            await reader.readuntil(b"\r\n\r\n")
            served.append(number)
            answer = answers[len(served) - 1]
            for part in [answer] if isinstance(answer, bytes) else answer:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(pause_s)
            if closes:
                return
        await reader.read()

    async with listening(serve, context) as port:
        yield port, served


def pool_for(port, max_connections=10, **more):
    address = Address(**{"host": "127.0.0.1", "port": port, "is_tls": False, "prefix": b"", "headers": b"", **more})
    return Pool(address, max_connections, time.monotonic)


async def ask(pool, request=REQUEST):
    exchange = await begun(pool, request, connect_timeout_s=10.0)
    try:
        body = b""
        while not exchange.has_ended:
            chunk = exchange.take()
            if chunk is None:
                await exchange.wait()
            else:
                body += chunk
        return exchange.status, body
    finally:
        exchange.close()


def run(coroutine, loop_factory=None):
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(asyncio.wait_for(coroutine, LONGEST_TEST_S))


def answers_to(*answers, **serving_as):
    """Ask as often as there are answers, one after the other: the outcomes, and the connections they came over."""

    async def body():
        async with serving(*answers, **serving_as) as (port, served):
            pool = pool_for(port)
            found = []
            for _ in answers:
                try:
                    found.append(await ask(pool))
                except Broken as error:
                    found.append(str(error))
            await pool.close()
            return found, served

    return run(body())


CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (OK, (200, b"ok")),
        (b"HTTP/1.1 204 No Content\r\n\r\n", (204, b"")),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", (200, b"")),
        (CHUNKED + b"2\r\nok\r\n3;x=y\r\nyes\r\n0\r\n\r\n", (200, b"okyes")),
        (CHUNKED + b"2\r\nok\r\n0\r\ntrailer: 1\r\n\r\n", (200, b"ok")),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, (200, b"ok")),
        (b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + OK, (200, b"ok")),
    ],
)
@pytest.mark.parametrize("is_split", [False, True])
def test_answers_are_framed_and_connections_used_again(answer, expected, is_split):
    parts = [answer[index : index + 1] for index in range(len(answer))] if is_split else answer
    found, served = answers_to(parts, OK)
    assert found == [expected, (200, b"ok")]
    assert served == [0, 0]


def test_a_body_without_a_length_ends_with_its_connection():
    found, served = answers_to([b"HTTP/1.1 200 OK\r\n\r\n", b"un", b"til"], OK, closes=True, pause_s=0.01)
    assert found == [(200, b"until"), (200, b"ok")]
    assert served == [0, 1]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        OK + OK,
        OK + b"more",
    ],
)
def test_connections_that_must_not_be_used_again(answer):
    found, served = answers_to(answer, OK)
    assert found == [(200, b"ok"), (200, b"ok")]
    assert served == [0, 1]


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok", "closed the connection"),
        (CHUNKED + b"2\r\nok\r\n", "closed the connection"),
        (CHUNKED + b"2\r\nokZZ\r\n", "no valid HTTP"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\nok", "no valid HTTP"),
        (b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", "no valid HTTP"),
        (b"220 smtp.example ESMTP\r\n", "no valid HTTP"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 300_000, "headers do not end"),
        (b"", "closed the connection"),
    ],
)
def test_answers_that_are_none(answer, complaint):
    found, _ = answers_to(answer, closes=True)
    assert complaint in found[0]


def test_a_server_that_hangs_up_on_everyone():
    async def hang_up(reader, writer):
        writer.transport.abort()

    async def body():
        async with listening(hang_up) as port:
            pool = pool_for(port)
            for _ in range(20):
                with pytest.raises((Broken, NotConnected)):
                    await ask(pool)
            await pool.close()

    run(body())


def test_a_connection_that_was_lost_is_not_written_to():
    async def body():
        async with serving(OK, OK) as (port, _):
            pool = pool_for(port)
            connection = await pool.connect()
            connection.abort()
            await asyncio.sleep(0.01)
            with pytest.raises(Broken):
                await connection.begin(REQUEST)
            await pool.close()

    run(body())


def test_what_came_before_the_end_is_given_first():
    async def body():
        async with serving(CHUNKED + b"2\r\nok\r\n", closes=True) as (port, _):
            exchange = await begun(pool_for(port), REQUEST, 10.0)
            await asyncio.sleep(0.1)  # the connection is gone by now
            first = exchange.take()
            with pytest.raises(Broken):
                exchange.take()
            exchange.close()
            return first

    assert run(body()) == b"ok"


def test_a_reader_who_stops_stops_the_server():
    size = 50_000_000
    sent = []

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
        for _ in range(size // 50_000):
            writer.write(b"x" * 50_000)
            await writer.drain()
            sent.append(50_000)

    async def body():
        async with listening(serve) as port:
            pool = pool_for(port)
            exchange = await begun(pool, REQUEST, 10.0)
            n_before = -1
            while n_before != len(sent):  # until the server stands still
                n_before = len(sent)
                await asyncio.sleep(0.2)
            n_read = 0
            while not exchange.has_ended:
                chunk = exchange.take()
                if chunk is None:
                    await exchange.wait()
                else:
                    n_read += len(chunk)
            await pool.close()
            return n_before * 50_000, n_read

    n_sent_unread, n_read = run(body())
    assert n_sent_unread < size / 2
    assert n_read == size


def test_calls_beyond_the_limit_wait_for_a_connection():
    async def body():
        slow = [b"HTTP/1.1 200 OK\r\n", b"content-length: 2\r\n\r\n", b"ok"]
        async with serving(*[slow] * 6, pause_s=0.01) as (port, served):
            pool = pool_for(port, max_connections=2)
            found = await asyncio.gather(*(ask(pool) for _ in range(6)))
            await pool.close()
            return found, set(served)

    found, connections = run(body())
    assert found == [(200, b"ok")] * 6
    assert connections == {0, 1}


def test_a_call_that_is_cancelled_gives_its_turn_back():
    async def body():
        async with serving(b"", OK) as (port, served):
            pool = pool_for(port, max_connections=1)
            waiting = asyncio.create_task(ask(pool))
            while not served:
                await asyncio.sleep(0.005)
            queued = asyncio.create_task(ask(pool))
            await asyncio.sleep(0.01)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            found = await queued
            await pool.close()
            return found, served

    assert run(body()) == ((200, b"ok"), [0, 1])


def test_idle_connections_are_closed_in_time():
    async def body():
        now = [0.0]
        async with serving(OK, OK, OK) as (port, served):
            pool = Pool(Address("127.0.0.1", port, False, b"", b""), 10, lambda: now[0])
            for later in (0.0, 29.0, 60.0):
                now[0] = later
                await ask(pool)
            await pool.close()
            return served

    assert run(body()) == [0, 0, 1]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_nobody_listens(host):
    async def body():
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        await ask(pool_for(port, host=host))

    with pytest.raises(NotConnected):
        run(body())


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate of its own making for "localhost"."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the openssl command to make a certificate")
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", *names]
    subprocess.run([*command, "-keyout", key, "-out", cert, "-days", "2"], check=True, capture_output=True, timeout=60)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context, cert


@pytest.fixture
def trusted(certificate, monkeypatch):
    """The certificate among those of the system."""
    context, cert = certificate
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    connecting.tls_context.cache_clear()
    yield context
    connecting.tls_context.cache_clear()


def loops():
    import uvloop

    return [None, uvloop.new_event_loop]


@pytest.mark.parametrize("loop_factory", loops(), ids=["asyncio", "uvloop"])
def test_tls(trusted, loop_factory):
    async def body():
        async with serving(OK, CHUNKED + b"2\r\nok\r\n0\r\n\r\n", context=trusted) as (port, served):
            pool = pool_for(port, host="localhost", is_tls=True)
            found = [await ask(pool), await ask(pool)]
            await pool.close()
            return found, served

    assert run(body(), loop_factory) == ([(200, b"ok"), (200, b"ok")], [0, 0])


@pytest.mark.parametrize("loop_factory", loops(), ids=["asyncio", "uvloop"])
def test_tls_names_are_checked(trusted, loop_factory):
    async def body():
        async with serving(OK, context=trusted) as (port, _):
            await ask(pool_for(port, is_tls=True))

    with pytest.raises(NotConnected, match="certificate is not accepted"):
        run(body(), loop_factory)


@pytest.mark.parametrize("loop_factory", loops(), ids=["asyncio", "uvloop"])
def test_a_certificate_that_nobody_vouches_for(certificate, loop_factory):
    connecting.tls_context.cache_clear()

    async def body():
        async with serving(OK, context=certificate[0]) as (port, _):
            await ask(pool_for(port, host="localhost", is_tls=True))

    with pytest.raises(NotConnected, match="certificate is not accepted"):
        run(body(), loop_factory)


@contextlib.asynccontextmanager
async def tunnelling(status=b"200 Connection established"):
    """A proxy that passes bytes on after CONNECT; gives back its port and the heads it was sent."""
    heads = []

    async def copy(reader, writer):
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()

    async def serve(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        heads.append(head)
        writer.write(b"HTTP/1.1 " + status + b"\r\n\r\n")
        if not status.startswith(b"200"):
            return
        host, port = head.split(b" ")[1].rsplit(b":", 1)
        back, forth = await asyncio.open_connection(host.decode(), int(port))
        await asyncio.gather(copy(reader, forth), copy(back, writer))

    async with listening(serve) as port:
        yield port, heads


@pytest.mark.parametrize("loop_factory", loops(), ids=["asyncio", "uvloop"])
def test_tls_through_a_proxy(trusted, loop_factory):
    async def body():
        async with serving(OK, OK, context=trusted) as (port, _), tunnelling() as (proxy_port, heads):
            proxy = Proxy("127.0.0.1", proxy_port, b"Basic dTpw")
            pool = pool_for(port, host="localhost", is_tls=True, proxy=proxy)
            found = [await ask(pool), await ask(pool)]
            await pool.close()
            return found, heads, port

    found, heads, port = run(body(), loop_factory)
    assert found == [(200, b"ok"), (200, b"ok")]
    assert heads == [
        b"CONNECT localhost:%d HTTP/1.1\r\nhost: localhost:%d\r\nproxy-authorization: Basic dTpw\r\n\r\n" % (port, port)
    ]


def test_a_proxy_that_refuses():
    async def body():
        async with tunnelling(b"407 Proxy Authentication Required") as (proxy_port, _):
            await ask(pool_for(1, is_tls=True, proxy=Proxy("127.0.0.1", proxy_port)))

    with pytest.raises(NotConnected, match=r"the proxy refused \(407\)"):
        run(body())


def test_a_handshake_that_never_ends_is_given_up():
    async def hold(reader, writer):
        await reader.read()

    async def body():
        async with listening(hold) as port:
            with pytest.raises(ConnectTimedOut):
                await begun(pool_for(port, is_tls=True), REQUEST, connect_timeout_s=0.2)

    run(body())
