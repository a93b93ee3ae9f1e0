"""The store: tables in Postgres, and functions over a connection that read and write them. No decisions."""
