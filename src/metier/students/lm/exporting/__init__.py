"""What a trained model leaves the house as: GGUF builds, an adapter alone, a model card, and how builds compare."""

from metier.students.lm.exporting.adapter_cards import AdapterCard, adapter_card_text, write_adapter_card
from metier.students.lm.exporting.adapters import copy_adapter, write_adapter_gguf
from metier.students.lm.exporting.builds import About, write_gguf
from metier.students.lm.exporting.cards import CardFile, CardText, card_text, write_model_card
from metier.students.lm.exporting.parity import Parity, can_be_shown, compare_answers, demand

__all__ = [
    "About",
    "AdapterCard",
    "CardFile",
    "CardText",
    "Parity",
    "adapter_card_text",
    "can_be_shown",
    "card_text",
    "compare_answers",
    "copy_adapter",
    "demand",
    "write_adapter_card",
    "write_adapter_gguf",
    "write_gguf",
    "write_model_card",
]
