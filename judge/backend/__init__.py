"""vLLM: starting it, asking it, and what it answers.

Nothing of versions or verdicts: a server is an address, a prompt is token ids, an answer is `answers`. Read
`vllm` first, then `engine`.
"""
