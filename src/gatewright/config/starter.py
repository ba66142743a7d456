"""The commented configuration file that `gatewright init` writes.

A line that begins with `#` and no space is configuration to switch on by removing that one character; one with a space
is prose. A test switches all of them on and loads the result.
"""

from __future__ import annotations

from typing import Final

STARTER: Final = """\
# Gatewright: one address for every model.
#
#   gatewright check gatewright.yaml     tells what is wrong in this file, with the line
#   gatewright serve --config gatewright.yaml
#   gatewright schema > schema.json      gives editors completion, with the next line:
# yaml-language-server: $schema=schema.json
#
# To switch something on, remove the `#` in front of it (the one without a space behind it).

# Where applications call (HOST:PORT), and where health and metrics are read.
listen: 127.0.0.1:8080
admin: 127.0.0.1:8081

# Vendors and runtimes. Keys are references, never written here: ${env:NAME} reads the
# environment, ${file:/path} a file such as a mounted secret. $${ writes a plain ${.
providers:

  # The model on this machine: no key, no network. Needs: pip install 'gatewright[local]'
  # and once: gatewright local pull
  laptop:
    type: local

  #openai:
    #type: openai
    #key: "${env:OPENAI_API_KEY}"

  # Any other server that speaks the OpenAI API; the URL ends with its version path.
  #inhouse:
    #type: openai_compatible
    #url: http://127.0.0.1:8000/v1
    #key: "${env:INHOUSE_API_KEY}"

# The names that applications call. Each stands for one or more targets: a provider, and
# the name the provider itself has for the model.
models:

  smollm2:
    targets:
      - {provider: laptop, model: smollm2}

  embed:
    targets:
      - {provider: laptop, model: embed}

  # Nine of ten requests go to OpenAI, one to the server in the house. When the chosen one
  # fails before it answered, the model on this machine takes over.
  #assistant:
    #targets:
      #- {provider: openai, model: gpt-4.1-mini, weight: 90}
      #- {provider: inhouse, model: qwen3-8b, weight: 10}
    #fallback:
      #- {provider: laptop, model: smollm2}

  # A pattern passes the name the application used through to the provider.
  #"gpt-*":
    #targets:
      #- {provider: openai}

# Who may call: organisation, team, application. Only the hash of a key stands here;
# `gatewright key` makes a key and its hash. Without consumers, everyone on this machine
# may call, and nobody else.
#consumers:
  #acme:
    #teams:
      #search:
        #apps:
          #indexer:
            #keys:
              #- sha256:0000000000000000000000000000000000000000000000000000000000000000

# What is accepted from clients, and how long they are waited for. These are the defaults.
#limits:
  #body_bytes: 33554432
  #requests_in_flight: 10000
#timeouts:
  #drain_s: 30

# Browser pages that may call the gateway themselves.
#cors:
  #origins: ["https://chat.example.com"]
"""
"""The text, with everything that needs no preparation switched on."""
