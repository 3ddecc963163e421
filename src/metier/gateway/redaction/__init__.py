"""Takes secrets and personal data out of what the gateway writes down."""

from metier.gateway.redaction.redactor import Redactor, redactor
from metier.gateway.redaction.secrets import redact_secrets

__all__ = ["Redactor", "redact_secrets", "redactor"]
