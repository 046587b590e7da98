"""baresip as a phone: one process, told what to do over its control socket."""

import json
import re
import socket
import subprocess
import time

from tone import write_tone

CONTROL_PORT = 4444
# Accounts name what other modules bring: they come last.
MODULES = ["g711", "aufile", "sndfile", "srtp", "menu", "ctrl_tcp", "contact", "account"]
TONE_S = 60


def audio_place(message):
    """Address and port of the first audio stream in a message; None if it has none."""
    media = re.search(r"^m=audio (\d+)", message, re.MULTILINE)
    if media is None:
        return None
    own = re.search(r"^c=IN IP[46] (\S+)", message[media.start() :], re.MULTILINE)
    any_place = own or re.search(r"^c=IN IP[46] (\S+)", message, re.MULTILINE)
    return any_place.group(1), int(media.group(1))


class Baresip:
    """It answers what calls it, plays a tone and records what it hears."""

    def __init__(self, folder, number, address, server, password, tone_hz):
        self.folder = folder / f"baresip-{number}"
        self.folder.mkdir()
        self.address = address
        # Its own tone generator, ausine, knows 48 kHz alone.
        write_tone(self.folder / "tone.wav", tone_hz, TONE_S)
        modules = "".join(f"module {name}.so\n" for name in MODULES)
        (self.folder / "config").write_text(
            f"poll_method epoll\nsip_listen {address}:5060\nnet_interface {address}\n"
            f"call_max_calls 4\naudio_source aufile,{self.folder}/tone.wav\nrtp_ports 20000-20098\n"
            f"module_path /usr/lib/baresip/modules\n{modules}"
            f"ctrl_tcp_listen {address}:{CONTROL_PORT}\nsnd_path {self.folder}\n"
        )
        (self.folder / "accounts").write_text(
            f"<sip:{number}@{server};transport=udp>;auth_user={number};auth_pass={password};"
            f"regint=300;answermode=auto;mediaenc=srtp;audio_codecs=PCMA/8000/1,PCMU/8000/1\n"
        )
        (self.folder / "contacts").write_text("")
        self.log = (self.folder / "log").open("w")
        command = ["baresip", "-4", "-s", "-v", "-f", str(self.folder)]
        self.process = subprocess.Popen(
            command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT
        )
        self.control = None

    def text(self):
        return (self.folder / "log").read_text(errors="replace")

    def is_registered(self):
        return "200 OK () [1 binding]" in self.text()

    def command(self, name, params=""):
        """A command of its menu: dial, hangup, hold, resume."""
        if self.control is None:
            self.control = socket.create_connection((self.address, CONTROL_PORT), timeout=2)
        text = json.dumps({"command": name, "params": params, "token": name})
        self.control.sendall(f"{len(text)}:{text},".encode())

    def described(self):
        """Where it was told to send audio: address and port of each body that it received, in order."""
        sent_from = f"UDP {self.address}:5060 -> "
        messages = re.split(r"\n(?=\S*#\nUDP )", self.text())
        received = [message for message in messages if "\nUDP " in message and sent_from not in message]
        return [place for place in map(audio_place, received) if place is not None]

    def ended(self):
        """How many calls it has seen the end of."""
        return self.text().count("session closed") + self.text().count("call terminated")

    def recordings(self):
        """What it heard, one file for each call."""
        return sorted(self.folder.glob("dump-*dec.wav"))

    def stop(self):
        if self.control is not None:
            self.control.close()
        self.process.terminate()
        try:
            self.process.wait(3)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
