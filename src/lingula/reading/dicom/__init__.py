"""DICOM radiographs: judged on the header, decoded, and brought to display values. CR and DX of the human chest."""
