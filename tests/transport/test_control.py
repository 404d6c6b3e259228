"""Commands to a running post office over the socket in its folder."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from digipoort_as4.errors import TransportError, UsageError, failure
from digipoort_as4.transport import control


async def double(about: Mapping[str, Any]) -> Mapping[str, Any]:
    if not isinstance(about.get("n"), int):
        raise failure(UsageError, "n is no number", fix="give a number")
    return {"twice": 2 * about["n"]}


@pytest.mark.parametrize("depth", [0, 40])
async def test_a_command_is_carried_out(tmp_path: Path, depth: int) -> None:
    """What the function returns comes back, also where the folder's path is longer than a Unix socket's may be."""
    folder = tmp_path.joinpath(*["longer"] * depth)
    folder.mkdir(parents=True, exist_ok=True)
    server = await control.listen(folder, {"double": double})
    assert {"twice": 42} == await asyncio.to_thread(control.ask, folder, "double", {"n": 21})
    server.close()


async def test_a_refusal_reaches_the_asker(tmp_path: Path) -> None:
    """With its notes, as the kind of error that the asker wants."""
    server = await control.listen(tmp_path, {"double": double})
    with pytest.raises(UsageError, match="n is no number") as refused:
        await asyncio.to_thread(control.ask, tmp_path, "double", {}, UsageError)
    assert ["fix: give a number"] == refused.value.__notes__
    server.close()


async def test_an_unknown_command_and_nonsense_harm_nobody(tmp_path: Path) -> None:
    """The next asker is answered."""
    server = await control.listen(tmp_path, {"double": double})
    with pytest.raises(UsageError, match="halve"):
        await asyncio.to_thread(control.ask, tmp_path, "halve", {}, UsageError)
    _, writer = await asyncio.open_unix_connection(tmp_path / control.NAME)
    writer.write(b"nonsense\n")
    await writer.drain()
    assert {"twice": 2} == await asyncio.to_thread(control.ask, tmp_path, "double", {"n": 1})
    writer.close()
    server.close()


async def test_a_socket_left_behind_makes_way(tmp_path: Path) -> None:
    """A process that was killed leaves its socket."""
    (await control.listen(tmp_path, {})).close()
    (tmp_path / control.NAME).touch()
    server = await control.listen(tmp_path, {"double": double})
    assert {"twice": 4} == await asyncio.to_thread(control.ask, tmp_path, "double", {"n": 2})
    server.close()


def test_no_post_office_is_said(tmp_path: Path) -> None:
    """With what to type."""
    with pytest.raises(TransportError, match="no post office runs"):
        control.ask(tmp_path, "double", {"n": 1})
