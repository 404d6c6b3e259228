"""What can be commanded of a running post office: names to functions, for transport.control.

Decides nothing; each part adds its commands here.
"""

from __future__ import annotations

from collections.abc import Mapping

from digipoort_as4.desk import Desk
from digipoort_as4.transport.control import Command
from digipoort_as4.wus.office import Office


def commands_of(office: Office) -> Mapping[str, Command]:
    """The commands of one post office."""
    return {**Desk(office).commands()}
