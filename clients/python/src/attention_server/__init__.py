"""Client of attention-server: attention over HTTP, its gradients, and whether a kernel elsewhere computes it right."""

from .answer import Answer
from .check import assert_attention_close
from .client import AttentionServerError, Client
from .report import AttentionMismatch, GradientReport, Report

__all__ = [
    "Answer",
    "AttentionMismatch",
    "AttentionServerError",
    "Client",
    "GradientReport",
    "Report",
    "assert_attention_close",
]
