"""The calls that `run.py` has played in a network namespace of their own.

    calls.py BINARY MEDIA FOLDER"""

import os
import pathlib
import subprocess
import sys
import time

import pjsua2 as pj
from baresip import Baresip
from pjsip import Endpoint, Phone
from tone import heard

# The addresses of the reference flow: clients take none of 127.0.0.0/8 for ICE.
SERVER = "192.168.11.60"
# The server's ports; the clients' own lie elsewhere.
RTP_PORTS = range(30000, 30100)
# Who has which number, address and tone. A calls; B never answers; C takes what B does not.
A, B, C = ("1003", "192.168.11.137", 440), ("1004", "192.168.11.136", 700), ("1005", "192.168.11.138", 1000)
TONES = {number: tone_hz for number, _, tone_hz in (A, B, C)}
NO_ANSWER_S = 5
TALK_S = 2.0
HOLD_S = 1.5
# What of a talk's seconds must be heard clearly: setup and jitter buffers take the rest.
HEARD = 0.7
# And so much more may be heard before and after.
LONGER_S = 0.5
# What a jitter buffer still holds of whoever spoke before.
REST_S = 0.3
START_S = 5


class Fault(Exception):
    pass


def check(holds, text):
    if not holds:
        raise Fault(text)


def start_server(binary, media, folder):
    subscribers = ""
    for number, _, _ in (A, B, C):
        subscribers += f'[[subscriber]]\nnumber = "{number}"\npassword = "secret{number}"\n'
        if number == B[0]:
            subscribers += f'no-answer = "{C[0]}"\nafter = {NO_ANSWER_S}\n'
    # baresip 1.0 gives up at a challenge with SHA-256.
    options = f'listen = ["udp:{SERVER}:5060"]\nmedia = "{media}"\nauth = "required"\n'
    options += 'auth-algorithms = "md5"\nstore = "memory"\n'
    if media == "anchor":
        options += f'rtp-ports = "{RTP_PORTS[0]}-{RTP_PORTS[-1]}"\n'
    (folder / "ringway.toml").write_text(options + subscribers)
    log = (folder / "ringway.log").open("w")
    command = [binary, "--config", str(folder / "ringway.toml"), "--shards", "1"]
    server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    deadline = time.monotonic() + START_S
    while "admin API on" not in (folder / "ringway.log").read_text():
        check(server.poll() is None, "the server ended: " + (folder / "ringway.log").read_text())
        check(time.monotonic() < deadline, "the server does not start")
        time.sleep(0.05)
    return server


class Stage:
    """The server's mode and the phones."""

    def __init__(self, media, folder):
        self.media, self.folder = media, folder
        self.begin = time.monotonic()
        self.endpoint = Endpoint(folder, self.say)
        self.a = self.phone(A, answer=200)
        # B's caller hears its tone while it rings.
        self.b = self.phone(B, answer=183)
        self.c = Baresip(folder, C[0], C[1], SERVER, f"secret{C[0]}", C[2])

    def phone(self, who, answer):
        number, address, tone_hz = who
        return Phone(self.endpoint, number, address, SERVER, f"secret{number}", tone_hz, answer)

    def say(self, text):
        print(f"{time.monotonic() - self.begin:7.2f} {text}", flush=True)

    def until(self, what, seconds, holds):
        check(self.endpoint.spin(seconds, holds), f"not within {seconds} s: {what}")

    def check_places(self, call, before=()):
        """In anchor mode each side is told of, and hears from, a port of the server's and of nobody else.
        `before`: the ports that others were told in this call."""
        a_told, a_source, c_told = call.remote_rtp(), call.source_rtp(), self.c.described()[-1]
        self.say(f"A was told {a_told} and hears {a_source}; C was told {c_told}")
        check(a_told == a_source, "RTP comes from another place than it should go to")
        if self.media == "pass":
            check(a_told[0] == C[1] and c_told[0] == A[1], "each should be told the other's place")
            return
        for host, port in (a_told, c_told):
            check(host == SERVER, f"{host} is not the server's address")
            check(port in RTP_PORTS and port % 2 == 0, f"{port} is no port of the server's for RTP")
        ports = [a_told[1], c_told[1], *before]
        check(len(set(ports)) == len(ports), f"a port has two uses: {ports}")

    def check_heard(self, who, path, other, talk_s):
        """A recording holds the other's tone, for as long as they talked, and nobody else's."""
        foreign = [tone_hz for tone_hz in TONES.values() if tone_hz != other[2]]
        clear_s, foreign_s = heard(path, other[2], foreign)
        self.say(f"{who[0]} heard {other[2]} Hz for {clear_s:.1f} s, others for {foreign_s:.1f} s")
        text = f"{who[0]} heard {other[0]}'s tone for {clear_s:.1f} of {talk_s} s"
        check(HEARD * talk_s <= clear_s <= talk_s + LONGER_S, text)
        check(foreign_s <= REST_S, f"{who[0]} heard another tone than {other[0]}'s for {foreign_s:.1f} s")

    def end(self, call):
        """A hangs up; both sides must see it."""
        before = self.c.ended()
        call.end()
        self.until("the call's end at A", 3, call.is_over)
        self.until("the call's end at C", 3, lambda: self.c.ended() > before)

    def talk(self, call):
        """Both talk for a while."""
        call.record_anew()
        self.endpoint.spin(TALK_S)

    def check_talk(self, talk_s=TALK_S):
        """What was recorded last, on both sides."""
        self.check_heard(A, self.a.recordings[-1], C, talk_s)
        self.check_heard(C, self.c.recordings()[-1], A, talk_s)


def direct(stage):
    """A (pjsua2) calls C (baresip)."""
    call = stage.a.dial(C[0])
    stage.until("C answers", 5, call.is_confirmed)
    stage.talk(call)
    stage.check_places(call)
    stage.end(call)
    stage.check_talk()
    if stage.media == "anchor":
        check("a=candidate" not in stage.c.text(), "C was told of A's candidates for ICE")


def called(stage):
    """C (baresip) calls A (pjsua2)."""
    count = len(stage.a.calls)
    stage.c.command("dial", f"sip:{A[0]}@{SERVER}")
    stage.until("A is called", 5, lambda: len(stage.a.calls) > count)
    call = stage.a.calls[-1]
    stage.until("the call is up", 5, call.is_confirmed)
    stage.talk(call)
    stage.check_places(call)
    stage.end(call)
    stage.check_talk()


def forwarded(stage):
    """A calls B (pjsua2), whose tone it hears; B does not answer, and C takes the call."""
    call = stage.a.dial(B[0])
    stage.until("A hears B", 5, lambda: call.audio is not None)
    stage.endpoint.spin(1.0)
    early = call.remote_rtp()
    b_told = stage.b.calls[-1].remote_rtp()
    stage.until("C answers", NO_ANSWER_S + 5, call.is_confirmed)
    stage.talk(call)
    if stage.media == "anchor":
        check(call.remote_rtp() == early, f"A's port changed: {early}, then {call.remote_rtp()}")
        check(b_told[0] == SERVER, f"B was told {b_told}")
    stage.check_places(call, [b_told[1]])
    stage.end(call)
    check(stage.b.calls[-1].is_over(), "B still rings")
    stage.check_heard(A, stage.a.recordings[-2], B, NO_ANSWER_S)
    stage.check_heard(B, stage.b.recordings[-1], A, NO_ANSWER_S)
    stage.check_talk()


def encrypted(stage):
    """A calls C with SRTP, whose keys and packets the server passes on unopened."""
    stage.a.secure(pj.PJMEDIA_SRTP_MANDATORY)
    call = stage.a.dial(C[0])
    stage.until("C answers", 5, call.is_confirmed)
    stage.talk(call)
    check("SRTP is Enabled" in stage.c.text(), "C has no SRTP")
    stage.check_places(call)
    stage.end(call)
    stage.a.secure(pj.PJMEDIA_SRTP_DISABLED)
    stage.check_talk()


def hold_and_resume(stage, call):
    stage.talk(call)
    call.hold()
    stage.endpoint.spin(HOLD_S)
    call.resume()
    stage.endpoint.spin(TALK_S)


def hold(stage):
    """A calls C, holds the call, in silence, and takes it up again."""
    call = stage.a.dial(C[0])
    stage.until("C answers", 5, call.is_confirmed)
    hold_and_resume(stage, call)
    stage.check_places(call)
    stage.end(call)
    stage.check_heard(A, stage.a.recordings[-1], C, 2 * TALK_S)
    # What baresip 1.0 records ends at the first re-INVITE.
    stage.check_heard(C, stage.c.recordings()[-1], A, TALK_S)


def hold_alike(stage):
    """A calls B, which answers now, holds the call, in silence, and takes it up again."""
    stage.b.answer = 200
    call = stage.a.dial(B[0])
    stage.until("B answers", 5, call.is_confirmed)
    stage.b.calls[-1].record_anew()
    hold_and_resume(stage, call)
    if stage.media == "anchor":
        for told in (call.remote_rtp(), stage.b.calls[-1].remote_rtp()):
            check(told[0] == SERVER, f"{told} is no place of the server's")
    call.end()
    stage.until("the call's end at B", 3, stage.b.calls[-1].is_over)
    stage.check_heard(A, stage.a.recordings[-1], B, 2 * TALK_S)
    stage.check_heard(B, stage.b.recordings[-1], A, 2 * TALK_S)


SCENARIOS = [direct, called, forwarded, encrypted, hold, hold_alike]


def main():
    binary, media, folder = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for address in (SERVER, A[1], B[1], C[1]):
        subprocess.run(["ip", "address", "add", f"{address}/24", "dev", "lo"], check=True)
    for address in (SERVER, A[1]):
        # baresip's RTP sockets are bound to no address: this is where the kernel lets them send from.
        route = ["ip", "route", "replace", "local", address, "dev", "lo", "table", "local", "src", C[1]]
        subprocess.run(route, check=True)
    server, stage, failed = None, None, 0
    try:
        server = start_server(binary, media, folder)
        stage = Stage(media, folder)
        for name, phone in (("A", stage.a), ("B", stage.b)):
            stage.until(f"{name} registers", 5, lambda phone=phone: phone.is_registered)
        stage.until("C registers", 5, stage.c.is_registered)
        for scenario in SCENARIOS:
            stage.say(f"== {scenario.__doc__.splitlines()[0]}")
            try:
                scenario(stage)
                print(f"ok {scenario.__name__}", flush=True)
            except (Fault, pj.Error) as fault:
                failed += 1
                print(f"FAILED {scenario.__name__}: {fault}", flush=True)
    except (Fault, pj.Error) as fault:
        failed += 1
        print(f"FAILED: {fault}", flush=True)
    finally:
        if stage is not None:
            stage.c.stop()
            stage.endpoint.stop()
        if server is not None:
            server.terminate()
            try:
                server.wait(5)
            except subprocess.TimeoutExpired:
                server.kill()
    well = len(SCENARIOS) - failed
    print(f"real clients, --media {media}: {well} of {len(SCENARIOS)} calls went well", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    # pjsua2's calls and accounts must not be taken down after their library.
    os._exit(code)
