"""What servers have in common that speak one of OpenAI's protocols: addresses, models, usage, failures."""
