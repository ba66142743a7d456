"""What holds for every test: nothing of the developer's own environment takes part, and hypothesis has no clock."""

import atexit
import os
import shutil
import tempfile

from hypothesis import settings

TOLD = "GATEWRIGHT_TRUTH"  # where recorded traffic is: a setting of the tests, not of what they start
FOREIGN = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "OPENAI_BASE_URL", "OPENAI_ORG_ID")

for name in list(os.environ):
    if name.upper() in FOREIGN or name.endswith("_API_KEY") or (name.startswith("GATEWRIGHT_") and name != TOLD):
        del os.environ[name]

# What tests start, and is not told otherwise, keeps its state here instead of in the developer's home.
state = tempfile.mkdtemp(prefix="gatewright-tests-")
os.environ["XDG_STATE_HOME"] = state
atexit.register(shutil.rmtree, state, ignore_errors=True)

# A slow machine is no failure of the code; how much is tried is each test's own choice.
settings.register_profile("gatewright", deadline=None, print_blob=True)
settings.load_profile("gatewright")
