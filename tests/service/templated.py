"""A dialogue as trainers send it: through the chat template of their policy."""

from tests.judge.prompts.test_transcripts import ONE, chatml

PROMPT = chatml(ONE)
GOOD, BAD = f"{PROMPT}Blue.<|im_end|>", f"{PROMPT}Seven.<|im_end|>"
