//! What a peer will do, drawn before its call begins.

use super::super::rng::Rng;
use super::setup::Habits;

/// How a caller stands to reliable provisional responses (RFC 3262).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reliable {
    Never,
    Supported,
    Required,
}

/// Something done in a dialog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Reinvite,
    EmptyReinvite,
    CancelledReinvite,
    Update,
    EmptyUpdate,
    Info,
    Message,
    Options,
    Unknown,
    Refer,
    HangUp,
    /// It forgets the dialog: everything gets 481.
    Forget,
    /// It goes silent for ever.
    Die,
}

#[derive(Clone, Copy, Debug)]
pub struct Timed {
    pub act: Act,
    /// Behind the first 18x or behind the answer.
    pub after_ms: u32,
    pub early: bool,
}

/// A response of a callee's to the INVITE.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    pub after_ms: u32,
    pub fork: u8,
    pub status: u16,
    pub reliable: bool,
    pub sdp: bool,
}

/// Who refreshes the session, as a 2xx says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refresher {
    /// No session timer.
    Nobody,
    Uac,
    Uas,
    Unsaid,
}

#[derive(Clone, Debug)]
pub struct Script {
    pub reliable: Reliable,
    pub late_offer: bool,
    pub cancel_ms: Option<u32>,
    /// A caller's wish.
    pub session_s: Option<u32>,
    pub refresher: Refresher,
    /// A callee's floor, above what the server asks for.
    pub min_se: Option<u32>,
    /// It should refresh and does not.
    pub neglects: bool,
    pub has_update: bool,
    pub forks: u8,
    pub steps: Vec<Step>,
    /// A CANCEL comes too late: it answers.
    pub answers_cancel: bool,
    pub acts: Vec<Timed>,
}

const REFUSALS: [u16; 10] = [404, 408, 480, 480, 486, 486, 487, 500, 503, 603];

/// What one of several phones may say.
const REFUSALS_OF_MANY: [u16; 19] =
    [301, 302, 401, 404, 407, 408, 408, 415, 420, 480, 484, 486, 486, 500, 503, 504, 600, 603, 606];

impl Script {
    pub fn draw(rng: &mut Rng, habits: &Habits, is_caller: bool) -> Script {
        let forks = if habits.forks && rng.percent(25) { rng.between(2, 3) as u8 } else { 1 };
        let mut script = Script {
            reliable: match rng.below(100) {
                _ if !habits.reliable => Reliable::Never,
                0..35 => Reliable::Supported,
                35..55 => Reliable::Required,
                _ => Reliable::Never,
            },
            late_offer: rng.percent(15),
            cancel_ms: rng.percent(12).then(|| rng.below(15_000)),
            session_s: (habits.timers && rng.percent(40)).then(|| rng.pick(&[60, 90, 90, 120, 1_800])),
            refresher: match rng.below(10) {
                _ if !habits.timers => Refresher::Nobody,
                0..3 => Refresher::Uac,
                3..6 => Refresher::Uas,
                6 => Refresher::Unsaid,
                _ => Refresher::Nobody,
            },
            min_se: (habits.timers && rng.percent(12)).then(|| rng.pick(&[91, 120, 200])),
            neglects: rng.percent(15),
            has_update: habits.updates && rng.percent(80),
            forks,
            steps: Vec::new(),
            answers_cancel: rng.percent(15),
            acts: Vec::new(),
        };
        if !is_caller {
            script.draw_steps(rng, habits);
        }
        script.draw_acts(rng, habits);
        script
    }

    /// The same for one of several phones: it refuses more, or says nothing ever.
    pub fn of_many(mut self, rng: &mut Rng) -> Script {
        let kind = rng.below(100);
        if kind < 12 {
            self.steps.clear();
        } else if kind < 50 {
            let (after_ms, status) = (rng.below(4_000), rng.pick(&REFUSALS_OF_MANY));
            self.steps.retain(|step| step.status < 200 && step.after_ms < after_ms);
            self.steps.push(Step { after_ms, fork: 0, status, reliable: false, sdp: false });
        }
        self
    }

    fn draw_steps(&mut self, rng: &mut Rng, habits: &Habits) {
        let mut steps = Vec::new();
        if rng.percent(60) {
            steps.push(Step { after_ms: rng.below(300), fork: 0, status: 100, reliable: false, sdp: false });
        }
        let answers = rng.percent(75);
        for fork in 0..self.forks {
            let mut after_ms = rng.below(2_000);
            for _ in 0..rng.pick(&[0, 1, 1, 1, 2, 3]) {
                let status = rng.pick(&[180, 180, 183, 183, 181, 199]);
                // RFC 6228 §8: 199 is a bare notice.
                let reliable = habits.reliable && rng.percent(60) && status != 199;
                let sdp = rng.percent(if status == 183 { 80 } else { 15 }) && status != 199;
                steps.push(Step { after_ms, fork, status, reliable, sdp });
                after_ms += rng.below(2_500);
            }
            let (reliable, sdp) = (false, true);
            if answers && (fork == 0 || rng.percent(40)) {
                steps.push(Step { after_ms: after_ms + rng.below(4_000), fork, status: 200, reliable, sdp });
            }
        }
        if !answers && rng.percent(70) {
            let (after_ms, status) = (rng.below(9_000), rng.pick(&REFUSALS));
            steps.push(Step { after_ms, fork: 0, status, reliable: false, sdp: false });
        }
        steps.sort_by_key(|step| step.after_ms);
        self.steps = steps;
    }

    fn draw_acts(&mut self, rng: &mut Rng, habits: &Habits) {
        let mut kinds = Vec::new();
        if habits.relayed {
            kinds.extend([Act::Info, Act::Message, Act::Options, Act::Unknown, Act::Refer, Act::Info]);
        }
        if self.has_update {
            kinds.extend([Act::Update, Act::Update, Act::EmptyUpdate]);
        }
        if habits.reinvites {
            let reinvites = [Act::Reinvite, Act::Reinvite, Act::EmptyReinvite, Act::CancelledReinvite];
            kinds.extend(reinvites);
        }
        if !kinds.is_empty() {
            for _ in 0..rng.below(5) {
                let (act, after_ms) = (rng.pick(&kinds), rng.between(1, 12_000));
                self.acts.push(Timed { act, after_ms, early: false });
            }
            if rng.percent(20) {
                let act = rng.pick(&kinds);
                let early = !matches!(act, Act::Reinvite | Act::EmptyReinvite | Act::CancelledReinvite);
                self.acts.push(Timed { act, after_ms: rng.below(3_000), early });
            }
        }
        let long = habits.timers && rng.percent(30);
        if rng.percent(60) {
            let after_ms = if long { rng.between(60_000, 300_000) } else { rng.below(20_000) };
            self.acts.push(Timed { act: Act::HangUp, after_ms, early: false });
        }
        if habits.timers && rng.percent(5) {
            let act = rng.pick(&[Act::Die, Act::Forget]);
            self.acts.push(Timed { act, after_ms: rng.below(60_000), early: false });
        }
    }

    pub fn allow(&self) -> &'static str {
        match self.has_update {
            true => "INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, INFO, MESSAGE, NOTIFY, REFER",
            false => "INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, INFO, MESSAGE, NOTIFY, REFER",
        }
    }
}
