"""pjsua2 as phones: several accounts in this process, each with an address, a tone and a recording."""

import os
import sys
import time

import pjsua2 as pj

POLL_MS = 20


class Call(pj.Call):
    """A call that plays its phone's tone and records what it hears, into one file after the other."""

    def __init__(self, phone, call_id=pj.PJSUA_INVALID_ID):
        super().__init__(phone, call_id)
        self.phone = phone
        self.recorder, self.audio = None, None
        self.statuses = []

    def onCallState(self, prm):
        info = self.getInfo()
        self.statuses.append(info.lastStatusCode)
        self.phone.say(f"{info.stateText} {info.lastStatusCode} {info.lastReason}")

    def onCallMediaState(self, prm):
        # What it returns dies with it: it must have a name as long as its parts are read.
        info = self.getInfo()
        for index, media in enumerate(info.media):
            if media.type != pj.PJMEDIA_TYPE_AUDIO or media.status != pj.PJSUA_CALL_MEDIA_ACTIVE:
                continue
            self.audio = self.getAudioMedia(index)
            if self.recorder is None:
                self.recorder = self.phone.new_recorder()
            self.phone.tone.startTransmit(self.audio)
            self.audio.startTransmit(self.recorder)
            self.phone.say("audio flows")

    def record_anew(self):
        """What is heard from now on goes to another file."""
        before, self.recorder = self.recorder, self.phone.new_recorder()
        if self.audio is not None:
            self.audio.stopTransmit(before)
            self.audio.startTransmit(self.recorder)

    def is_confirmed(self):
        return self.isActive() and self.getInfo().state == pj.PJSIP_INV_STATE_CONFIRMED

    def is_over(self):
        return not self.isActive()

    def remote_rtp(self):
        """Where the other side said that it wants RTP."""
        stream = self.getStreamInfo(0)
        address, port = stream.remoteRtpAddress.rsplit(":", 1)
        return address, int(port)

    def source_rtp(self):
        """Where RTP really came from."""
        transport = self.getMedTransportInfo(0)
        address, port = transport.srcRtpName.rsplit(":", 1)
        return address, int(port)

    def hold(self):
        self.setHold(pj.CallOpParam(True))

    def resume(self):
        parameters = pj.CallOpParam(True)
        parameters.opt.flag = pj.PJSUA_CALL_UNHOLD
        self.reinvite(parameters)

    def end(self):
        self.hangup(pj.CallOpParam())


class Phone(pj.Account):
    """A phone that registers. `answer`: its response to a call, at once."""

    def __init__(self, endpoint, number, address, server, password, tone_hz, answer):
        super().__init__()
        self.endpoint, self.number, self.address, self.server = endpoint, number, address, server
        self.answer = answer
        self.calls = []
        self.is_registered = False
        self.tone = endpoint.new_tone(tone_hz)
        self.recordings = []
        transport = pj.TransportConfig()
        transport.port, transport.boundAddress, transport.publicAddress = 5060, address, address
        transport_id = endpoint.library.transportCreate(pj.PJSIP_TRANSPORT_UDP, transport)
        account = pj.AccountConfig()
        account.idUri = f"sip:{number}@{server}"
        account.sipConfig.transportId = transport_id
        account.sipConfig.authCreds.append(pj.AuthCredInfo("digest", "*", number, 0, password))
        account.regConfig.registrarUri = f"sip:{server}"
        account.regConfig.timeoutSec = 300
        media = account.mediaConfig.transportConfig
        # What many phones offer, and a relay has to take out or to pass on.
        account.natConfig.iceEnabled = True
        account.mediaConfig.rtcpMuxEnabled = True
        media.port, media.boundAddress, media.publicAddress = 40000, address, address
        # Over UDP the keys are as safe as the signalling; here it is the relay that is tried.
        account.mediaConfig.srtpSecureSignaling = 0
        self.config = account
        self.create(account)

    def secure(self, use):
        """Whether its calls have to be encrypted (SRTP with keys in SDP)."""
        self.config.mediaConfig.srtpUse = use
        self.modify(self.config)

    def say(self, text):
        self.endpoint.say(f"{self.number}: {text}")

    def new_recorder(self):
        path = self.endpoint.folder / f"pjsua2-{self.number}-{len(self.recordings)}.wav"
        self.recordings.append(path)
        recorder = pj.AudioMediaRecorder()
        recorder.createRecorder(str(path))
        return recorder

    def onRegState(self, prm):
        self.is_registered = prm.code == 200 and self.getInfo().regIsActive
        self.say(f"REGISTER {prm.code}")

    def onIncomingCall(self, prm):
        call = Call(self, prm.callId)
        self.calls.append(call)
        answer = pj.CallOpParam()
        answer.statusCode = self.answer
        call.answer(answer)

    def dial(self, number):
        call = Call(self)
        self.calls.append(call)
        call.makeCall(f"sip:{number}@{self.server}", pj.CallOpParam(True))
        return call


class Endpoint:
    """pjsua2's library, without a sound card."""

    def __init__(self, folder, say):
        self.folder, self.say = folder, say
        self.library = pj.Endpoint()
        # Before it has settings it logs to standard output.
        sys.stdout.flush()
        stdout, log = os.dup(1), os.open(folder / "pjsua2-start.log", os.O_CREAT | os.O_WRONLY)
        os.dup2(log, 1)
        self.library.libCreate()
        config = pj.EpConfig()
        config.uaConfig.threadCnt, config.uaConfig.mainThreadOnly = 0, True
        config.logConfig.level, config.logConfig.consoleLevel = 5, 0
        config.logConfig.filename = str(folder / "pjsua2.log")
        config.medConfig.clockRate = 8000
        config.medConfig.noVad, config.medConfig.ecTailLen = True, 0
        self.library.libInit(config)
        os.dup2(stdout, 1)
        os.close(stdout)
        os.close(log)
        self.library.audDevManager().setNullDev()
        self.library.libStart()
        for codec in self.library.codecEnum2():
            is_g711 = codec.codecId.startswith("PCM")
            self.library.codecSetPriority(codec.codecId, 128 if is_g711 else 0)
        self.tones = []

    def new_tone(self, tone_hz):
        tone = pj.ToneGenerator()
        tone.createToneGenerator(8000, 1)
        description = pj.ToneDesc()
        description.freq1, description.freq2, description.on_msec, description.off_msec = tone_hz, 0, 1000, 0
        tone.play(pj.ToneDescVector([description]), True)
        self.tones.append(tone)
        return tone

    def spin(self, seconds, until=lambda: False):
        """Serves the phones until something holds, at most so long; whether it does."""
        deadline = time.monotonic() + seconds
        while not until():
            if time.monotonic() >= deadline:
                return False
            self.library.libHandleEvents(POLL_MS)
        return True

    def stop(self):
        self.library.libDestroy()
