"""What holds for every test: nothing of the developer's own environment takes part, and hypothesis has no clock."""

import os

from hypothesis import settings

FOREIGN = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "XDG_STATE_HOME")

for name in list(os.environ):
    if name.upper() in FOREIGN or name.endswith("_API_KEY") or name.startswith("GATEWRIGHT_"):
        del os.environ[name]

# A slow machine is no failure of the code; how much is tried is each test's own choice.
settings.register_profile("gatewright", deadline=None, print_blob=True)
settings.load_profile("gatewright")
