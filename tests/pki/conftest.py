from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from helpers_pki import NOW

from digipoort_as4.pki import test_pki
from digipoort_as4.pki.path import Trust


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole PKI, with keys of full size; read only."""
    folder = tmp_path_factory.mktemp("pki") / "made"
    test_pki.make(folder, NOW)
    return folder


@pytest.fixture(scope="session")
def trusted(made: Path) -> Trust:
    return test_pki.trust(made)


@pytest.fixture
def pki(made: Path, tmp_path: Path) -> Path:
    """A copy of the PKI to change."""
    return Path(shutil.copytree(made, tmp_path / "pki"))
