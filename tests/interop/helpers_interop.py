"""What clients of other makers share: a hub in this process whose wire can be read and changed; how to run them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from digipoort_as4 import config, gateway
from digipoort_as4.config import KeyFiles, Settings
from digipoort_as4.journal import Journal
from digipoort_as4.payload import BytesPayload, read_all
from digipoort_as4.pki import test_pki
from digipoort_as4.pki.keys import TlsFiles
from digipoort_as4.storage.sqlite import SqliteStore
from digipoort_as4.transport.client import server_context
from digipoort_as4.transport.http import HttpAnswer, HttpRequest
from digipoort_as4.transport.server import serve

DOCUMENT = config.data_file("examples/01-aanleveren-btw/aangifte.xbrl")
JANSEN = "00000099000000101000"
Change = Callable[[bytes], bytes]


def unchanged(octets: bytes) -> bytes:
    return octets


@dataclass
class Hub:
    """The accepting side in this process; keeps what goes in and out, and may change it on the way."""

    url: str  # https://localhost:port
    requests: list[bytes] = field(default_factory=list)
    answers: list[HttpAnswer] = field(default_factory=list)
    on_request: Change = unchanged
    on_answer: Change = unchanged


def settings_of(pki: Path, folder: Path, sha1: bool) -> Settings:
    one, parties = test_pki.find_identity(pki, "digipoort"), folder / "parties.toml"
    text = config.data_file("digipoort_as4/hub/parties.toml").read_text(encoding="utf-8")
    parties.write_text(text.replace(f'oin = "{JANSEN}"', f'oin = "{JANSEN}"\nsha1 = {str(sha1).lower()}', 1))
    return Settings(
        folder=folder / "data",
        tls=KeyFiles(one.tls_cert, one.tls_key),
        signing=KeyFiles(one.signing_cert, one.signing_key),
        ca=test_pki.anchors(pki),
        intermediates=(test_pki.intermediates(pki),),
        crls=tuple(test_pki.crls(pki)),
        parties=parties,
        agencies={"00000099000000012000": "https://localhost:1"},  # the Belastingdienst: named, never called here
    )


@asynccontextmanager
async def running(pki: Path, folder: Path, sha1: bool = False) -> AsyncIterator[Hub]:
    settings = settings_of(pki, folder, sha1)
    settings.folder.mkdir()
    store = SqliteStore.open(settings.folder, gateway.now)
    office = gateway.open_office(settings, store, Journal(settings.folder / "journal.jsonl"))
    door, hub = gateway.Gateway(office), Hub("")

    async def handle(request: HttpRequest) -> HttpAnswer:
        if request.method != "POST":
            return await door(request)
        hub.requests.append(read_all(request.body))
        answer = await door(replace(request, body=BytesPayload(hub.on_request(hub.requests[-1]))))
        hub.answers.append(answer)
        return replace(answer, body=BytesPayload(hub.on_answer(read_all(answer.body))))

    context = server_context(TlsFiles(settings.tls.certificate, settings.tls.key), settings.ca)
    server = await serve(handle, context, office.spool)
    hub.url = f"https://localhost:{server.port}"
    try:
        yield hub
    finally:
        await server.close()
        await store.close()


async def shown_by(words: list[str], folder: Path, limit: float) -> str:
    process = await asyncio.create_subprocess_exec(
        *words, cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), limit)
    except TimeoutError:
        process.kill()
        raise
    return output.decode()
