"""``python -m huggingface_api_handler install | uninstall | doctor | consumer``."""

import sys

from .cli.install import look_past_the_working_folder, main

if __name__ == "__main__":
    look_past_the_working_folder()
    sys.exit(main(sys.argv[1:]))
