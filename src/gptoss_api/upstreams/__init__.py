"""The places that serve gpt-oss, each behind the interface of :mod:`gptoss_api.upstreams.base`."""
