"""The named settings of training: values of `Config` by flat names, each with its source or the reason for it."""

from collections.abc import Mapping
from typing import Any

RECIPES: Mapping[str, Mapping[str, Any]] = {
    # Ours, for the 270 utterances of nine men that ship inside sktime. Chosen on folds of these, in blocks of time and
    # interleaved, two to four seeds each, by the worst seed as well as by the mean.
    "japanese-vowels": {
        "source": "japanese-vowels",
        "loss": "nt-xent",  # before batch-all, alone or with it, and supervised-contrastive
        "margin": None,  # the loss's own, or that of `OF_LOSS`
        "temperature": 0.2,  # 0.4 was no better
        "learning_rate": 4e-3,  # 1e-2 made half as many errors again (of batch-all)
        "warmup": 0,
        "steps": 600,  # 300 did worse
        "speakers": 9,  # all of them, so that no confusable pair is left out
        "utterances": 10,  # a third of what there is, so that batches differ
        "hidden": 32,  # 16 and 64 did worse
        "embedding_dim": 64,
        "weight_decay": 0.01,
        "dropout": 0.1,  # 0.2 was no better
        "average_decay": 0.97,  # neither was 0.99
        "evaluate_every": 100,
    },
    # Li et al., "Deep Speaker: an end-to-end neural speaker embedding system", 2017.
    "deep-speaker": {
        "loss": "deep-speaker",  # triplets that are drawn, not mined
        "margin": 0.1,  # there, and in Deep Speaker (Keras)
        "bands": 64,  # there
        "embedding_dim": 512,  # there
        "speakers": 16,  # ours: a third of 16 x 6 rows are 32 triplets
        "utterances": 6,
    },
    # Schroff, Kalenichenko and Philbin, "FaceNet", 2015.
    "facenet": {
        "loss": "semi-hard",  # "semi-hard negative exemplars", every anchor-positive pair
        "margin": 0.2,  # there, of squared distances
        "embedding_dim": 128,  # there
        "speakers": 8,  # ours: there, some 45 identities
        "utterances": 12,  # ours: there, around 40 exemplars of each; what mines needs many positives
    },
    # Hermans, Beyer and Leibe, "In defense of the triplet loss for person re-identification", 2017.
    "batch-hard": {
        "loss": "batch-hard",
        "hinge": "softplus",  # there: the soft margin, which did best
        "margin": 0.0,  # a soft margin has none
        "learning_rate": 3e-4,  # there, of Adam
        "embedding_dim": 128,  # there
        "speakers": 18,  # there
        "utterances": 4,  # there
    },
    # Wan, Wang, Papir and Lopez Moreno, "Generalized end-to-end loss for speaker verification", 2018.
    "ge2e": {
        "loss": "ge2e",
        "margin": None,  # it has none; its scale and bias start at 10 and -5, as there
        "encoder": "lstm",  # there; --preset paper gives its size: 3 layers of 768 cells, projected to 256
        "bands": 40,  # there
        "optimizer": "sgd",  # there
        "learning_rate": 0.01,  # there
        "halve_every": 400,  # ours: there every 30 million updates, of a run that is as much longer
        "clip_norm": 3.0,  # there
        "projection_scale": 0.5,  # there
        "loss_scale": 0.01,  # there
        "speakers": 64,  # there
        "utterances": 10,  # there
        "seconds": "1.4,1.6,1.8",  # there: 140 to 180 frames, one length for a batch
    },
    # Lukic, Vogt, Dürr and Stadelmann, "Learning embeddings for speaker clustering based on voice equality", 2017;
    # Stadelmann et al., "Capturing suprasegmental features of a voice with RNNs", 2018.
    "voice-equality": {
        "loss": "kl-hinge",
        "margin": 1.0,  # the siamese KL-divergence net (Keras)
        "encoder": "blstm",  # the second paper's
        "outputs": 100,  # as many as speakers in the second paper
        "seconds": "1",  # ours: theirs are shorter, and the mean is taken over the pieces of an utterance
        "speakers": 16,  # ours
        "utterances": 4,
    },
    # The loss of Deng et al., "ArcFace", 2019, with the network, the numbers and the data of three: Desplanques,
    # Thienpondt and Demuynck, "ECAPA-TDNN", 2020; speechbrain (train_ecapa_tdnn.yaml for VoxCeleb, 2021); wespeaker
    # (ecapa_tdnn.yaml for VoxCeleb, 2022).
    "aam": {
        "loss": "aam-softmax",
        "margin": 0.2,  # all three
        "scale": 30.0,  # the paper and speechbrain; 32 in wespeaker
        "margin_schedule": "exponential",  # wespeaker, from epoch 20 to 40 of 150: ours are as large shares of a run
        "margin_begin": 400,
        "margin_end": 800,
        "encoder": "ecapa-tdnn",  # all three; --preset paper gives its size
        "embedding_dim": 192,  # all three
        "bands": 80,  # all three
        "seconds": "2",  # the paper and wespeaker; 3 in speechbrain
        "speeds": "1,0.9,1.1",  # wespeaker; each speed of a speaker is a class
        "batches": "shuffled",  # speechbrain and wespeaker
        "speakers": 32,  # 128 rows: the paper and wespeaker; 32 in speechbrain
        "utterances": 4,
        "learning_rate": 1e-3,  # of Adam, the paper and speechbrain
        "weight_decay": 0.05,  # ours: few speakers are soon learnt by heart
        "class_decay": 0.5,  # ten times that of the encoder, as in the paper
        "warmup": 120,  # 6 epochs of 150 in wespeaker
        "steps": 3000,  # ours: theirs are hundreds of thousands, for thousands of speakers
        # With --fine-tune. Thienpondt, Desplanques and Demuynck, "The IDLAB VoxSRC-20 submission", 2021.
        "fine_tune_margin": 0.5,  # there, and in wespeaker (ecapa_tdnn_lm.yaml, 2022)
        "fine_tune_seconds": "6",  # there and in wespeaker
        "fine_tune_rate": 1e-5,  # there, as the highest of a cycle
    },
    # Ours: for a few dozen speakers, each at one microphone. Chosen on 27 speakers of recorded prompts, those of some
    # packages being judged by encoders and back-ends that were fitted on the others.
    "best": {
        "loss": "supervised-contrastive",  # with the back-end on a par with mined triplets, or a little before them
        "temperature": 0.1,
        "margin": None,  # it has none
        "encoder": "tdnn",  # one layer: deeper ones and ECAPA-TDNN did no better, and took five times as long
        "preset": "wide",  # the back-end sees its statistics: 512 channels did better than 64 or 256, 3 frames than 5
        "backend": "plda",  # a quarter fewer errors than the cosine of embeddings, trained with whatever loss
        "backend_speeds": "1,0.9,1.1",  # three times as many speakers to learn from how they differ
        "normalization": "fixed",  # without the mean spectrum, errors were half as many again
        "room_share": 0.0,  # where a speaker keeps a microphone, what hides it did not help, and noise did harm
        "channel_share": 0.0,
        "noise_share": 0.0,
        "gain_share": 0.0,  # the level is normalised
        "time_masks": 0,  # no better with masks
        "band_masks": 0,
        "seconds": "2",  # 3 was no better
        "steps": 400,  # 800 were no better
        "speakers": 12,
        "warmup": 20,  # a twentieth of the updates
        "average_decay": 0.98,
    },
}
"""What each recipe sets, by the flat names of `Config`; everything else is as there."""


OF_OTHERS: Mapping[str, Mapping[str, float]] = {
    "japanese-vowels": {
        "learning_rate": 1e-2,
        "steps": 300,
        "hidden": 64,
        "dropout": 0.2,
        "evaluate_every": 50,
    },
}
"""What a recipe sets for any loss or sum of losses but its own: what these were tried and measured with."""


# Tried on three folds of the training utterances, one seed each: under a rate that falls to 0, these did better than a
# constant 4e-3 with margins 0.3 (1 for kl-hinge), but for ge2e and batch-hard, which were tried at these alone, and
# semi-hard, which was not tried: it has the numbers of batch-all.
OF_LOSS: Mapping[str, Mapping[str, Mapping[str, float]]] = {
    "japanese-vowels": {
        "semi-hard": {"margin": 0.6},
        "batch-all": {"margin": 0.6},
        "batch-hard": {"margin": 0.6},
        "kl-hinge": {"learning_rate": 6e-3, "margin": 2.0},
        "deep-speaker": {"margin": 0.7},
    },
}
"""What a recipe sets for one loss and not for another; in a sum, the first that says something of a number counts."""


def usual(data: object) -> str:
    """Returns the recipe where none is named: of recordings, if there is a folder of data.

    Example:
        >>> usual(None), usual("calls")
        ('japanese-vowels', 'best')
    """
    return "japanese-vowels" if data is None else "best"
