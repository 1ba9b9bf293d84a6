"""What ``gptoss-api doctor`` looks at, each part by itself."""
