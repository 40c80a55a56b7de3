"""lingula: similar chest X-ray studies, findings and the evidence. Education and research, never diagnosis."""

__version__ = "0.1.0"
