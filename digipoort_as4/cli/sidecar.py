"""`digipoort sidecar`: plain SOAP in, signed WUS out, in the foreground; sdk.sidecar does the work."""

import asyncio
from pathlib import Path

import click

from digipoort_as4 import limits
from digipoort_as4.cli import streams
from digipoort_as4.cli.common import FILE, dir_option, octets_of
from digipoort_as4.errors import UsageError, failure
from digipoort_as4.gateway import stop_signal
from digipoort_as4.journal import Journal
from digipoort_as4.payload import Spool
from digipoort_as4.sdk import office
from digipoort_as4.sdk.connection import connect, party_of
from digipoort_as4.sdk.sidecar import Sidecar, check_listen
from digipoort_as4.transport.server import serve


@click.command(epilog="Example: digipoort sidecar --as bakkerij-jansen, then post SOAP to http://127.0.0.1:8480/…")
@click.option("--listen", default="127.0.0.1:8480", show_default=True, metavar="HOST:PORT", help="Port 0: any.")
@click.option("--as", "identity", help="Who signs, of post-office.json; the first business when not given.")
@click.option("--api-key-file", "key_file", type=FILE, help="Callers show its text: Authorization: Bearer …")
@dir_option
def sidecar(listen: str, identity: str | None, key_file: Path | None, folder: Path) -> None:
    """Sign for a program that cannot: it posts plain SOAP here, the answer comes back verified and plain."""
    host, _, port = listen.rpartition(":")
    if not (host and port.isdigit()):
        raise failure(UsageError, f"--listen {listen}", expected="HOST:PORT, e.g. 127.0.0.1:8480")
    api_key = octets_of(key_file).decode().strip() if key_file else ""
    if key_file and len(api_key) < 16:
        raise failure(UsageError, f"{key_file} holds no key", expected="at least 16 characters that nobody guesses")
    check_listen(host.strip("[]"), api_key)
    place = office.read(folder / office.FILE)
    party = party_of(place, identity)
    car = Sidecar(connect(place, party), Spool(folder / "sidecar"), Journal(None), api_key)
    asyncio.run(run(car, host.strip("[]"), int(port), party.name))


async def run(car: Sidecar, host: str, port: int, name: str) -> None:
    """Listen until SIGTERM or Ctrl-C."""
    server = await serve(car, None, car.spool, host, port, limits.WUS_BODY, journal=car.journal)
    streams.note(f"side-car  signs as {name}; plain SOAP to:")
    for path in car.paths():
        streams.out(f"http://{host}:{server.port}{path}")
    await stop_signal().wait()
    await server.close()
