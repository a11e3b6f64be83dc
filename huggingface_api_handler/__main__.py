"""``python -m huggingface_api_handler install | uninstall | doctor | consumer``."""

import sys

from .install import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
