"""The plug-in for plain zeep: `zeep.Client(wsdl, **wus())` signs as Digipoort wants, and verifies what comes back.

zeep's own `wsse` signs the Body only, with SHA-1, and looks neither at a Timestamp nor at who signed the answer."""

from pathlib import Path
from typing import Any

from zeep import Settings

from digipoort_as4.sdk.connection import Connection, connect_local, connect_to
from digipoort_as4.sdk.wus_transport import WusTransport


def wus(
    identity: str | None = None, *, folder: Path | None = None, connection: Connection | None = None, **access: Any
) -> dict[str, Any]:
    """What zeep.Client needs beside a WSDL: `transport` and `settings`.
    Args:
        identity: a business of the post office that `digipoort up` keeps; the first one when not given.
        folder: of that post office, when it is not the usual one.
        connection: for another post office, when you have one already.
        access: for another post office: the arguments of sdk.connection.connect_to.
    Returns:
        The transport replaces `wsse` and addresses by itself; faults come as WusFault, a zeep.exceptions.Fault that
        says what is wrong; `transport.last` is the last exchange, octet for octet. The settings let zeep read
        documents above 10 MB: the answer was verified before.
    Raises:
        ConfigError, UsageError: keys or post office are not there."""
    if connection is None:
        connection = connect_to(**access) if access else connect_local(folder, identity)
    return {"transport": WusTransport(connection), "settings": Settings(xml_huge_tree=True)}
