"""Writers: the served build through llama.cpp, and the training-time model through transformers."""

from metier.students.lm.engine.llama import LlamaEngine
from metier.students.lm.engine.segments import encode_prompt, encode_text
from metier.students.lm.engine.sharing import Adapter
from metier.students.lm.engine.torch_writer import TorchWriter

__all__ = ["Adapter", "LlamaEngine", "TorchWriter", "encode_prompt", "encode_text"]
