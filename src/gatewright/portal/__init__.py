"""The web pages for people who use the gateway and people who run it; they reach it through `control` only."""
