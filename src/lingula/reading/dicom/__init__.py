"""DICOM radiographs: judged on the header, decoded, and brought to display values. CR and DX of the human chest."""

from lingula.reading.dicom.reader import DicomFile, read_dicom, read_dicom_file

__all__ = ["DicomFile", "read_dicom", "read_dicom_file"]
