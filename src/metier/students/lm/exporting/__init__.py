"""What a trained model leaves the house as: GGUF builds, an adapter alone, a model card, and how builds compare."""

from metier.students.lm.exporting.builds import About, write_gguf

__all__ = ["About", "write_gguf"]
