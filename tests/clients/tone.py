"""What a recording holds: Goertzel's filter over short windows, without numpy."""

import array
import math
import struct

WINDOW_S = 0.1
# Quieter than this, of 32,768, is silence: what G.711 makes of zeros, and comfort noise.
SILENCE_RMS = 100
# How much of a window's energy a tone must have to be heard clearly, and may have not to be there.
CLEAR = 0.7
TRACE = 0.02


def write_tone(path, tone_hz, seconds, rate=8000):
    """A WAV file with a tone at a quarter of the full scale."""
    wave_s = (8000 * math.sin(2 * math.pi * tone_hz * at / rate) for at in range(rate))
    # Whole periods in each second: one second after the other is the same.
    body = array.array("h", (round(sample) for sample in wave_s)).tobytes() * seconds
    shape = struct.pack("<HHIIHH", 1, 1, rate, 2 * rate, 2, 16)
    head = b"WAVEfmt " + struct.pack("<I", len(shape)) + shape + b"data" + struct.pack("<I", len(body))
    path.write_bytes(b"RIFF" + struct.pack("<I", len(head) + len(body)) + head + body)


class Recording:
    """A WAV file of 16-bit samples, one channel, also one whose header was never finished."""

    def __init__(self, path):
        data = path.read_bytes()
        if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
            raise ValueError(f"{path} is no WAV file")
        at, self.rate, body = 12, 0, b""
        while at + 8 <= len(data):
            name, length = data[at : at + 4], struct.unpack_from("<I", data, at + 4)[0]
            if name == b"fmt ":
                _, channels, self.rate, _, _, bits = struct.unpack_from("<HHIIHH", data, at + 8)
                if channels != 1 or bits != 16:
                    raise ValueError(f"{path} has {channels} channels of {bits} bits")
            if name == b"data":
                # The length is written when the file is closed.
                body = data[at + 8 :] if length == 0 else data[at + 8 : at + 8 + length]
                break
            at += 8 + length + length % 2
        self.samples = array.array("h", body[: len(body) // 2 * 2])

    def shares(self, tones):
        """For each window None if it is silent, else each tone's share of its energy."""
        size = int(self.rate * WINDOW_S)
        for start in range(0, len(self.samples) - size + 1, size):
            window = self.samples[start : start + size]
            energy = sum(sample * sample for sample in window)
            if energy < SILENCE_RMS**2 * size:
                yield None
            else:
                yield [power(window, tone, self.rate) / energy for tone in tones]


def power(window, tone_hz, rate):
    """The energy that a tone has in a window; the tone's period must divide the window."""
    coefficient = 2 * math.cos(2 * math.pi * tone_hz / rate)
    one, two = 0.0, 0.0
    for sample in window:
        one, two = sample + coefficient * one - two, one
    return 2 * (one * one + two * two - coefficient * one * two) / len(window)


def heard(path, tone_hz, others_hz):
    """Seconds that a recording holds of a tone, and seconds that it holds of other tones."""
    clear, foreign = 0, 0
    for shares in Recording(path).shares([tone_hz, *others_hz]):
        if shares is None:
            continue
        if any(share > TRACE for share in shares[1:]):
            foreign += 1
        elif shares[0] > CLEAR:
            clear += 1
    return clear * WINDOW_S, foreign * WINDOW_S
