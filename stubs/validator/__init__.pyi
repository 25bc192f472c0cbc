from ttslo_app.rules.checks import ConfigValidator as ConfigValidator
from ttslo_app.rules.findings import ValidationResult as ValidationResult
from ttslo_app.rules.findings import format_validation_result as format_validation_result

__all__ = ["ConfigValidator", "ValidationResult", "format_validation_result"]
