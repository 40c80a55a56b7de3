"""Beside an archive: DICOM results of an analysis, a receiver, deliveries that are read back, import of an archive.

Needs the extra ``pacs``.
"""
