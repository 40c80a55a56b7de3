"""One analysis as one HTML file: films, findings, similar cases, report, evidence; nothing is loaded from outside."""

from lingula.page.render import render_page, write_page

__all__ = ["render_page", "write_page"]
