"""Whether a split is clean: everything that two parts could share, looked for in the collection itself."""

from lingula_lab.audit.collision import Audit, Collision, Kind
from lingula_lab.audit.run import audit

__all__ = ["Audit", "Collision", "Kind", "audit"]
