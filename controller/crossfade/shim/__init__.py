"""The data plane: inside a genuine boto3 client; boto3 and core, nothing heavier."""
