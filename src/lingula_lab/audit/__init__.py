"""Is a split clean? Everything by which one part could know another, looked for in the collection itself."""

from lingula_lab.audit.collision import Audit, Collision, Kind
from lingula_lab.audit.run import audit

__all__ = ["Audit", "Collision", "Kind", "audit"]
