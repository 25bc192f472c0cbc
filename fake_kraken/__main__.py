"""`python -m fake_kraken`: serve the embedded exchange until Ctrl-C."""

import sys

from fake_kraken.exchange import main

sys.exit(main())
