"""The peer TensorZero: its embedded gateway with OpenAI's wire on a port of its own. Prints the address, then serves."""

import signal
import sys

from openai import OpenAI
from tensorzero import patch_openai_client

client = patch_openai_client(OpenAI(api_key="none"), config_file=sys.argv[1], async_setup=False)
print(client.base_url, flush=True)
signal.pause()
