"""The control plane: store, use cases, API, pages, scheduler."""
