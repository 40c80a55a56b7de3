"""Presentation states and structured reports that mark films, as DICOM files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid


def saved(made: Dataset, path: Path) -> Path:
    """A data set as a DICOM file in explicit VR."""
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    made.save_as(path, enforce_file_format=True)
    return path


def written(path: Path, **elements: Any) -> Path:
    """A DICOM file of these elements."""
    made = Dataset()
    made.SOPInstanceUID = generate_uid()
    for keyword, value in elements.items():
        setattr(made, keyword, value)
    return saved(made, path)


def item(**elements: Any) -> Dataset:
    """An item of a sequence."""
    made = Dataset()
    for keyword, value in elements.items():
        setattr(made, keyword, value)
    return made


def state(path: Path, uid: str, *graphics: tuple[str, list[float]]) -> Path:
    """A presentation state with graphics (type, data in pixels) on the film of that SOP Instance UID."""
    objects = [item(GraphicAnnotationUnits="PIXEL", GraphicDimensions=2, NumberOfGraphicPoints=len(data) // 2,
                    GraphicData=data, GraphicType=kind) for kind, data in graphics]  # fmt: skip
    image = item(ReferencedSOPClassUID="1.2.840.10008.5.1.4.1.1.1.1", ReferencedSOPInstanceUID=uid)
    annotation = item(ReferencedImageSequence=[image], GraphicObjectSequence=objects)
    return written(path, SOPClassUID="1.2.840.10008.5.1.4.1.1.11.1", GraphicAnnotationSequence=[annotation])
