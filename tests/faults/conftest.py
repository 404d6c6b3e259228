"""Assertions in the helpers tell what they compared, as those of tests do."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("helpers_lane", "helpers_strace")
