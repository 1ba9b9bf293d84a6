"""Who may use the gateway: API keys."""
