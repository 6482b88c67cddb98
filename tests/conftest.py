"""What holds for all tests: hypothesis asserts nothing about time, since machines may be busy."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("clew", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("clew")
