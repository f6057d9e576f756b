"""Integrations: the guard inside a program that paints by itself, or that serves pictures already.

`guardrail.integrations.diffusers` guards a pipeline, `guardrail.integrations.starlette` an application. Neither is
imported before it is asked for, and neither brings the library that it is made for.
"""
