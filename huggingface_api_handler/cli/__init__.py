"""The command line: ``python -m huggingface_api_handler COMMAND``. Each command is a module here."""
