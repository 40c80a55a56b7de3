"""The web application: the path of the command line behind HTTP, and the page that draws it. Thin routes."""

from lingula.server.app import create_app
from lingula.server.settings import Settings

__all__ = ["Settings", "create_app"]
