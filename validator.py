"""The validation of rules, as earlier callers know it."""

from ttslo_app.rules.checks import ConfigValidator
from ttslo_app.rules.findings import ValidationResult, format_validation_result

__all__ = ["ConfigValidator", "ValidationResult", "format_validation_result"]
