"""Finetuning a seed model on one dataset: `python -m workers.train CONFIG.json`.

The only package that imports torch, TRL and PEFT; the finetune stage runs it as a subprocess. Lessons, one
after the other, each of which begins with what the one before has made:

1. `reasoned`: supervised finetuning on correct judgments (Self-Taught Evaluators).
2. `preferences`, if asked for: DPO of a correct judgment against a wrong one of the same prompt.
3. `pointwise`: a Bradley-Terry loss on the reads of a chosen and a rejected response.

A lesson trains a LoRA adapter that is merged when done, or the weights themselves (`method`), and may stop
early by the pairwise accuracy on validation pairs. Progress goes to standard output, one JSON object a line.
A run that was killed goes on from its last checkpoint, and a finished lesson is not repeated.
"""
