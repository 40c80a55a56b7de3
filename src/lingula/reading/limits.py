"""What one input may cost. Every reader takes these limits; none of them is read from the environment."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Upper bounds on what is accepted; the defaults suit a laptop.

    Attributes:
        file_bytes: size of one file.
        request_bytes: size of one request or upload, all files together.
        pixels: rows x columns of one radiograph.
        inflated_bytes: size of a deflated DICOM data set once inflated.
        sequence_depth: nested DICOM sequences.
        xml_bytes: size of one XML report.
        xml_depth: nested XML elements.
        text_characters: length of a report; the rest is cut with a warning.
        archive_bytes: unpacked size of an archive.
        archive_members: files in an archive.
        k: neighbours in one answer.
        memory_bytes: address space a reading child may add to what it has at its start.
        seconds: wall time a reading child may spend on one file.
    """

    file_bytes: int = 64 << 20
    request_bytes: int = 256 << 20
    pixels: int = 64_000_000
    inflated_bytes: int = 256 << 20
    sequence_depth: int = 100
    xml_bytes: int = 4 << 20
    xml_depth: int = 64
    text_characters: int = 20_000
    archive_bytes: int = 1 << 30
    archive_members: int = 20_000
    k: int = 100
    memory_bytes: int = 1 << 30
    seconds: float = 10.0
