"""``python -m huggingface_api_handler COMMAND``; ``--help`` lists the commands."""

import sys

from .cli.link import ignore_working_folder
from .cli.main import main

if __name__ == "__main__":
    ignore_working_folder()
    sys.exit(main(sys.argv[1:]))
