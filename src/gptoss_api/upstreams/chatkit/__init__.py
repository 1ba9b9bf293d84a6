"""The gpt-oss.com website, speaking both dialects of the ChatKit protocol."""
