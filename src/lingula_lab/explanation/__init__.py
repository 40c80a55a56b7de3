"""Evidence that needs gradients: Grad-CAM and Integrated Gradients on the trained model behind a checkpoint."""

from __future__ import annotations

from importlib.util import find_spec

from lingula.errors import InputError
from lingula.explanation.methods import Method
from lingula.explanation.target import Floats, Target

PACKAGES = ("torch", "transformers", "captum")


def methods() -> dict[str, Method]:
    """The methods by name, none where the extra ``lab`` is not installed; ``lingula.explanations`` names this."""
    installed = all(find_spec(name) is not None for name in PACKAGES)
    return {"gradcam": _gradcam, "integrated_gradients": _integrated_gradients} if installed else {}


def _gradcam(target: Target) -> tuple[Floats, Floats | None, float | None]:
    try:
        from lingula_lab.explanation.gradcam import gradcam
    except (ImportError, OSError, RuntimeError) as error:
        raise _broken(error) from error
    return gradcam(target)


def _integrated_gradients(target: Target) -> tuple[Floats, Floats | None, float | None]:
    try:
        from lingula_lab.explanation.integrated_gradients import integrated_gradients
    except (ImportError, OSError, RuntimeError) as error:
        raise _broken(error) from error
    return integrated_gradients(target)


def _broken(error: Exception) -> InputError:
    return InputError(
        "bad_request", f"PyTorch does not load here: {error}.", "pip install --force-reinstall 'lingula[lab]'"
    )
