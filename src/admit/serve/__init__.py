"""Admit as a server of its own: workers, health, metrics, log lines, and the refusal to start unsafe."""
