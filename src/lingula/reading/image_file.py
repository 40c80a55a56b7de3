"""What a file is, judged by its content, and the one way from an image file to a radiograph."""

from __future__ import annotations

from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from pathlib import Path
from typing import Literal

from lingula.errors import InputError
from lingula.reading.bounded_io import read_head
from lingula.reading.dicom.dicom_file import DicomFile
from lingula.reading.dicom.part10 import looks_like_dicom
from lingula.reading.limits import Limits
from lingula.reading.picture import picture_kind, read_picture
from lingula.reading.report_formats import is_html

Kind = Literal["dicom", "picture", "xml", "text", "other"]
_OTHER_PICTURES = (b"GIF8", b"\0\0\0\x0cjP  ")
_HEIF = (b"ftypheic", b"ftypavif", b"ftypmif1")
_PACKED = (b"\x1f\x8b", b"PK\x03\x04", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf")
_DOCUMENTS = (b"%PDF", b"%!PS", b"\xd0\xcf\x11\xe0")
_OFFICE = (".docx", ".odt", ".xlsx", ".ods", ".pages", ".epub")
_IMAGES = (".dcm", ".dicom", ".ima", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".jxl", ".jp2")
_XML_STARTS = (b"<", b"\xef\xbb\xbf<", b"\xff\xfe<\0", b"\xfe\xff\0<", b"<\0", b"\0<")
HEAD = 132


def sniff(head: bytes, name: str) -> Kind:
    """The kind of a file from its first ``HEAD`` bytes.

    Text is a report of any format (``report_formats``), and so is a document that is refused by name. The name decides
    three things only: one ending ``.xml`` claims an XML report, one of an image is not text, and an office document is
    told from another packed file.
    """
    suffix = Path(name).suffix.lower()
    if suffix == ".xml":
        return "xml"
    if head[128:132] == b"DICM":
        return "dicom"
    if picture_kind(head):
        return "picture"
    if head.startswith(_DOCUMENTS) or (head.startswith(_PACKED) and suffix in _OFFICE):
        return "text"
    if head.lstrip().startswith(_XML_STARTS):
        return "text" if suffix not in _IMAGES and is_html(head.decode("latin-1")) else "xml"
    if looks_like_dicom(head):
        return "dicom"
    return "text" if suffix not in _IMAGES and _is_text(head) else "other"


def read_image(path: Path, limits: Limits | None = None) -> DicomFile:
    """Read a DICOM file or a picture; the Study Instance UID of a picture is empty.

    Raises:
        InputError: as ``read_dicom_file`` and ``read_picture``; not_dicom or unsupported_format for anything else.
    """
    limits = limits or Limits()
    head = read_head(path, HEAD)
    kind = sniff(head, path.name)
    if kind == "picture":
        return DicomFile(read_picture(path, limits), study_uid="")
    if kind != "dicom" and is_other_picture(head):
        raise InputError("unsupported_format", "a picture of a kind that is not read", "Save it as PNG.")
    if kind != "dicom" and head.startswith(_PACKED):
        raise InputError("not_dicom", "a packed file", "Unpack it first, and give the files or folder inside.")
    from lingula.reading.dicom.reader import read_dicom_file  # pulls in pydicom

    return read_dicom_file(path, limits)


def is_other_picture(head: bytes) -> bool:
    """GIF, HEIF/AVIF or a JPEG 2000 file."""
    return head.startswith(_OTHER_PICTURES) or head[4:12] in _HEIF


def _is_text(head: bytes) -> bool:
    """No control characters but those of text; or UTF-16, by its mark or by every second byte being zero."""
    if head.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        return True
    zeros = head[0::2].count(0), head[1::2].count(0)
    if len(head) > 3 and min(zeros) == 0 and max(zeros) > 0.45 * len(head):
        return True
    return bool(head) and all(byte >= 32 or byte in b"\t\n\v\f\r" for byte in head)
