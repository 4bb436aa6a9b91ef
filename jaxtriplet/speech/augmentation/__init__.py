"""What training does to utterances: random rooms, channels and noises, and masks of their log-mel features.

Every function is pure and takes one key per row: what happens to an utterance depends on its own key and samples alone,
so that a run does not depend on how a batch is spread over devices. That leaves out babble mixed from the batch's other
voices.
"""
