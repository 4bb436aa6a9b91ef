"""How often and how much training changes a waveform: every number of a random room, channel, noise and gain."""

import dataclasses

Range = tuple[float, float]
"""The lowest and the highest value of a uniform draw."""


@dataclasses.dataclass(frozen=True)
class WaveformAugmentation:
    """How often each stage changes an utterance, and the ranges that it draws from; 0 switches a stage off.

    Attributes:
        room: Share of the utterances that are played in a room.
        reverberation_time: Seconds until the reverberation has fallen by 60 dB.
        direct_to_reverberant: Energy of the direct sound over that of the reverberation, dB.
        channel: Share of the utterances that pass another microphone and line.
        equalizer: Standard deviation of the gain of each octave, dB.
        low_cut: Frequency in Hz below which the channel lets nothing pass.
        high_cut: Frequency in Hz above which it lets nothing pass.
        noise: Share of the utterances with noise.
        snr: Power of the utterance over that of the noise, dB.
        slope: Fall of the noise's power with frequency, as the exponent in 1 / f^slope.
        gain: Share of the utterances that are made louder or quieter.
        decibels: By how much, dB.
    """

    room: float = 0.5  # half of the prompts that people have were recorded in a dry studio, half were not
    reverberation_time: Range = (0.1, 0.7)  # from a car to a bare office; longer ones belong to halls
    direct_to_reverberant: Range = (0.0, 15.0)  # from a laptop across a table to a headset
    channel: float = 0.8  # the microphone is the surest sign of a recording, and says nothing of who speaks
    equalizer: float = 4.0  # cheap microphones differ by some 10 dB in an octave; +-4 covers that with its tails
    low_cut: Range = (20.0, 300.0)  # from nothing lost to the telephone's lower edge
    high_cut: Range = (3400.0, 8000.0)  # from the telephone's upper edge to nothing lost at 16 kHz
    noise: float = 0.8  # a clean recording has its own noise, by which a network would know it
    snr: Range = (5.0, 40.0)  # from speech in a car to a recording that is called clean
    slope: Range = (0.0, 2.0)  # white is a recorder's own noise, 1/f a room's, 1/f^2 traffic's
    gain: float = 1.0  # nothing about a speaker is in the setting of a knob
    decibels: Range = (-10.0, 10.0)  # levels that people leave their recordings at
