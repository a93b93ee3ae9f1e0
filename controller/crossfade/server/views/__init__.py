"""What pages and API show: read views over the store. Frozen values with `to_dict()`; every read is one transaction."""
