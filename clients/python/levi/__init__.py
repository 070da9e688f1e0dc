"""Levi's formats in Python (docs/protocol.md, docs/trust.md): one module for each. No I/O."""
