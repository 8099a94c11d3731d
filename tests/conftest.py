"""For all tests: no deadlines on single examples, since machines that run tests do other things too."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("tilewright", deadline=None)
settings.load_profile("tilewright")
