"""Reports: the figures of runs as one HTML file that needs no network, as Markdown, and as JSON."""

from guardrail.evaluate.report.content import Report, gathered, plain
from guardrail.evaluate.report.markdown import as_markdown
from guardrail.evaluate.report.page import as_html

__all__ = ["Report", "as_html", "as_markdown", "gathered", "plain"]
