"""Commands to a running post office on its own machine: one JSON line in, one back, over a socket in its folder.

Who may open the folder (mode 0700) may command; nothing of it is reachable by network. Knows no command itself."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from digipoort_as4.errors import DigipoortError, TransportError, failure
from digipoort_as4.limits import CALL, MIB

NAME: Final = "control.sock"
Command = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]
"""What was asked, in JSON's types, to the answer; a DigipoortError becomes the asker's."""


async def listen(folder: Path, commands: Mapping[str, Command]) -> asyncio.Server:
    """Answer commands until the server is closed; a socket left by a process that was killed makes way."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, ValueError):  # an asker that went away, or no line of ours
            match json.loads(await reader.readline()):
                case {"command": str(command), "about": dict(about)}:
                    told = await _carry_out(command, about, commands)
                    writer.write(json.dumps(told).encode() + b"\n")
                    await writer.drain()
        writer.close()

    (folder / NAME).unlink(missing_ok=True)
    with _short(folder) as path:
        return await asyncio.start_unix_server(answer, path, limit=MIB)


async def _carry_out(name: str, about: Mapping[str, Any], commands: Mapping[str, Command]) -> Mapping[str, Any]:
    if name not in commands:
        return {"error": f"this post office knows no command {name!r}", "notes": []}
    try:
        return {"answer": await commands[name](about)}
    except DigipoortError as error:
        return {"error": str(error), "notes": getattr(error, "__notes__", [])}


def ask(folder: Path, command: str, about: Mapping[str, Any], kind: type[DigipoortError] = DigipoortError) -> Any:
    """Have the post office whose data lie in this folder do something.
    Raises TransportError: none runs there; an error of `kind`: it refused."""
    line = json.dumps({"command": command, "about": about}).encode() + b"\n"
    try:
        with _short(folder) as path, socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(CALL.total_seconds())
            asking.connect(path)
            asking.sendall(line)
            with asking.makefile("rb") as answer:
                told = json.loads(answer.readline())
    except (OSError, ValueError) as error:
        raise failure(TransportError, f"no post office runs on {folder}", fix="digipoort up") from error
    if "error" in told:
        refusal = kind(told["error"])
        for note in told["notes"]:
            refusal.add_note(note)
        raise refusal
    return told["answer"]


@contextmanager
def _short(folder: Path) -> Iterator[str]:
    """The socket's path; a Unix socket has room for about 100 octets of it, so Linux reaches long ones by a number."""
    path = str(folder / NAME)
    if len(path.encode()) < 100 or not Path("/proc/self/fd").is_dir():
        yield path
        return
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{number}/{NAME}"
    finally:
        os.close(number)
