//! A call's rounds as the audit sees them, from where the server stands: who may be tried and who must be
//! given up, who may win, what counts when nobody answers (RFC 3261 §16.6, §16.7; SIP_RULES 2, 4, 5, 7).

use super::audit::{Verdict, is};
use super::plan::{Chain, Course, Goal, Kind, Path, Plan, Tally, Target, Told};
use super::trace::name;

/// How exact the server's timers are.
const TICK_MS: u64 = 8;

/// 64·T1: Timer B.
const SILENCE_MS: u64 = 32_000;

/// What comes later may find that the INVITE was forgotten.
const NEARLY_SILENCE_MS: u64 = 31_900;

/// What the server is set to.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub max_diversions: u8,
    pub unreachable_408: bool,
    /// A callee's 302 sends the call on.
    pub deflection: bool,
    /// A 2xx that crosses our CANCEL may win.
    pub keeps_late: bool,
    /// The tables have room for everything.
    pub has_room: bool,
    /// An answer reaches the caller at once: there are no reliable provisional responses.
    pub plain: bool,
}

/// A location of a number, as it was registered.
#[derive(Clone, Copy, Debug)]
pub struct Location {
    pub place: u8,
    pub hop: u8,
    pub q: u16,
    pub expires_ms: u64,
    /// It was registered with a Path (RFC 3327).
    pub has_path: bool,
}

/// What a leg came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    Silent,
    NeverRang,
    Response { status: u16, rang: bool, no_answer_cause: bool },
}

/// What a response to an INVITE says besides its status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// It is an 18x that the server takes.
    pub rings: bool,
    /// `Reason: Q.850;cause=19`.
    pub no_answer_cause: bool,
    /// Where a 302's Contact leads.
    pub contact: Option<Target>,
}

#[derive(Clone, Copy, Debug)]
struct Leg {
    at: Location,
    invited_ms: Option<u64>,
    heard_ms: Option<u64>,
    rang_ms: Option<u64>,
    cancelled_ms: Option<u64>,
    /// The first final response, and when.
    final_status: u16,
    final_ms: u64,
    /// What it came to while it was tried, and as which it did so.
    failure: Option<(u32, Failure)>,
    /// It answered when it was given up.
    late: bool,
    /// It answered and may not win.
    lost: bool,
    acknowledged: bool,
    byed: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Round {
    ring_ms: u64,
    trying_ms: u64,
    /// When the first 18x of any of its legs came.
    rang_ms: Option<u64>,
    /// The q-value that is tried, and since when.
    level: Option<(u16, u64)>,
    /// Nobody is waited for any more.
    ended: bool,
    /// A 302 has ended it.
    deflected: Option<Target>,
}

#[derive(Clone, Debug)]
pub struct Rounds {
    rules: Rules,
    chain: Chain,
    /// The diversions of the number that is tried; at the end all of them.
    path: Path,
    /// A forwarding that was set was refused, and as a loop.
    refused: (bool, bool),
    /// What the server did may have been counted in several ways.
    uncounted: bool,
    rounds: Vec<Round>,
    legs: Vec<Leg>,
    /// The caller has its final response, or has given up.
    over: bool,
    /// The caller has given up.
    gone: bool,
    winner: Option<u8>,
    /// An answer came that is late and may win all the same.
    kept: bool,
    /// A callee was cancelled before anything was said that explains it.
    unexplained: bool,
    failures: u32,
    /// The callee whose message the server has just got.
    input: Option<u8>,
    /// Two things at one moment: what counts cannot be told.
    blurred: bool,
}

impl Rounds {
    /// `waits`: how long each number may ring and stay at 100, in milliseconds.
    /// `plans`: what each has set.
    pub fn new(rules: Rules, waits: &[(u32, u32)], plans: Vec<Plan>, locations: Vec<Location>) -> Rounds {
        let leg = |at| Leg {
            at,
            invited_ms: None,
            heard_ms: None,
            rang_ms: None,
            cancelled_ms: None,
            final_status: 0,
            final_ms: 0,
            failure: None,
            late: false,
            lost: false,
            acknowledged: false,
            byed: false,
        };
        let round = |&(ring_ms, trying_ms): &(u32, u32)| Round {
            ring_ms: ring_ms.into(),
            trying_ms: trying_ms.into(),
            ..Round::default()
        };
        Rounds {
            rules,
            chain: Chain { plans, max_diversions: rules.max_diversions },
            path: Path::NONE,
            refused: (false, false),
            uncounted: false,
            rounds: waits.iter().map(round).collect(),
            legs: locations.into_iter().map(leg).collect(),
            over: false,
            gone: false,
            winner: None,
            kept: false,
            unexplained: false,
            failures: 0,
            input: None,
            blurred: false,
        }
    }

    /// The number that is tried, by its place in the chain.
    fn current(&self) -> Option<u8> {
        self.rounds.iter().rposition(|round| round.level.is_some()).map(|hop| hop as u8)
    }

    pub fn has_path(&self, place: u8) -> bool {
        self.leg(place).is_some_and(|number| self.legs[number].at.has_path)
    }

    /// For a person to read.
    pub fn describe(&self) -> String {
        let mut text = format!("{:?}, over {}, blurred {}\n", self.rules, self.over, self.blurred);
        self.rounds.iter().for_each(|round| text += &format!("  {round:?}\n"));
        self.legs.iter().for_each(|leg| text += &format!("  {}: {leg:?}\n", name(leg.at.place)));
        text
    }

    fn of(&self, hop: u8) -> impl Iterator<Item = &Leg> {
        self.legs.iter().filter(move |leg| leg.at.hop == hop)
    }

    fn leg(&self, place: u8) -> Option<usize> {
        self.legs.iter().position(|leg| leg.at.place == place)
    }

    /// The most preferred locations of a number that are left, below a q-value.
    fn next_level(&self, hop: u8, below: u16, now_ms: u64) -> Option<u16> {
        self.of(hop).filter(|leg| leg.is_left(now_ms) && leg.at.q < below).map(|leg| leg.at.q).max()
    }

    /// The caller calls again behind a refusal before anybody was called.
    pub fn restart(&mut self) {
        if self.current().is_none() {
            (self.over, self.gone) = (false, false);
        }
    }

    /// The caller's CANCEL or BYE has come in time.
    pub fn caller_gone(&mut self) {
        self.gone = true;
        self.over = true;
    }

    /// A response of a callee's to its INVITE has come.
    pub fn response(&mut self, place: u8, status: u16, said: Said, now_ms: u64) {
        let Said { rings, no_answer_cause, contact } = said;
        self.input = Some(place);
        self.note_silence(now_ms);
        let Some(number) = self.leg(place) else { return };
        // Before this one.
        let answered = self.legs.iter().any(|leg| leg.is_answered() && !leg.lost);
        let is_current = self.current() == Some(self.legs[number].at.hop);
        let round = &mut self.rounds[usize::from(self.legs[number].at.hop)];
        let leg = &mut self.legs[number];
        let Some(invited_ms) = leg.invited_ms else { return };
        if leg.final_status != 0 {
            return;
        }
        let is_silent = leg.heard_ms.is_none() && now_ms >= invited_ms + SILENCE_MS;
        self.blurred |= leg.heard_ms.is_none() && is_now(invited_ms + SILENCE_MS, now_ms);
        let given_up = leg.cancelled_ms.is_some() || leg.failure.is_some() || is_silent;
        let tried = is_current && !round.ended && !self.over && !given_up;
        leg.heard_ms.get_or_insert(now_ms);
        if rings && tried {
            leg.rang_ms.get_or_insert(now_ms);
            round.rang_ms.get_or_insert(now_ms);
        }
        if status < 200 {
            return;
        }
        (leg.final_status, leg.final_ms) = (status, now_ms);
        if status < 300 {
            leg.late = !tried;
            let may_win = self.rules.keeps_late && !self.over && !answered && !leg.is_forgotten(now_ms);
            leg.lost = leg.late && !may_win;
            round.ended |= tried;
            self.kept |= leg.late && !leg.lost;
            self.blurred |= self.kept && !self.rules.plain;
        } else if tried {
            self.failures += 1;
            let rang = leg.rang_ms.is_some();
            leg.failure = Some((self.failures, Failure::Response { status, rang, no_answer_cause }));
            round.deflected = contact.filter(|_| status == 302 && self.rules.deflection);
            // RFC 3261 §16.7 step 5; a 302 says where the call goes.
            round.ended |= status >= 600 || round.deflected.is_some();
        }
    }

    /// The server invites a callee for the first time, or behind its 422; `told`: of which diversions.
    pub fn invite(&mut self, place: u8, told: &Told, now_ms: u64) -> Verdict {
        self.note_silence(now_ms);
        let number = self.leg(place).ok_or("an INVITE to a location that there is not")?;
        let (Location { hop, q, expires_ms, .. }, before) = (self.legs[number].at, self.legs[number]);
        is(!self.over, "an INVITE when the search is over")?;
        if before.invited_ms.is_some() {
            is(before.final_status == 422, "a second INVITE to a location")?;
            let may = before.failure.is_some() && self.current() == Some(hop);
            is(may || self.blurred, "again at what is given up")?;
            is(!self.rounds[usize::from(hop)].ended || self.blurred, "again when the search is over")?;
            let leg = &mut self.legs[number];
            *leg = Leg { final_status: 0, failure: None, heard_ms: None, rang_ms: None, ..before };
            leg.invited_ms = Some(now_ms);
            return Ok(());
        }
        is(now_ms / 1_000 * 1_000 < expires_ms, "an INVITE to a binding that has expired")?;
        let current = self.current();
        let level = self.rounds[usize::from(hop)].level;
        let best = match level {
            Some((level, since_ms)) if since_ms == now_ms && level == q => {
                let all = Course { path: self.path, ..Course::to(hop) };
                is(told.course(&[all], hop).is_some() || !self.is_known(), "another way to the same number")?;
                Some(q)
            }
            Some((level, _)) => {
                self.may_go_down(hop, now_ms)?;
                self.next_level(hop, level, now_ms)
            }
            None => {
                is(current.is_none_or(|current| hop > current), "back to a callee that was left")?;
                self.go_on(hop, told, now_ms)?;
                self.next_level(hop, u16::MAX, now_ms)
            }
        };
        is(best == Some(q) || !self.rules.has_room, "a location before one that is preferred")?;
        self.rounds[..usize::from(hop)].iter_mut().for_each(|before| before.ended = true);
        self.rounds[usize::from(hop)].level =
            Some((q, level.filter(|level| level.0 == q).map_or(now_ms, |l| l.1)));
        self.legs[number].invited_ms = Some(now_ms);
        Ok(())
    }

    /// The call goes on to the next number, by the way that its INVITE tells of.
    fn go_on(&mut self, hop: u8, told: &Told, now_ms: u64) -> Verdict {
        let courses = self.courses(now_ms);
        if let Some((course, is_only)) = told.course(&courses, hop) {
            self.path = course.path;
            self.uncounted |= !is_only;
            return Ok(());
        }
        self.uncounted = true;
        let leads = courses.iter().any(|course| course.goal == Goal::Number(hop));
        is(!self.is_known() || !leads, "not the way that the call has gone")?;
        let wrong =
            if self.current().is_none() { "a callee was left out" } else { "forwarded without a reason" };
        is(!self.is_known(), wrong)
    }

    /// Where the call may go on now; nothing: the number that is tried has not failed yet.
    fn courses(&self, now_ms: u64) -> Vec<Course> {
        let is_there = |hop| self.next_level(hop, u16::MAX, now_ms).is_some();
        match self.current() {
            Some(hop) => self.outcomes(hop, now_ms),
            None => vec![self.chain.arrive(0, Path::NONE, &is_there)],
        }
    }

    /// The diversions of the call; `None`: they cannot be told.
    pub fn count(&self, tally: &mut Tally) -> Option<()> {
        (self.is_known() && !self.uncounted).then(|| tally.add(&self.path, self.refused.0, self.refused.1))
    }

    /// The less preferred locations of a number have their turn when the others have failed.
    fn may_go_down(&self, hop: u8, now_ms: u64) -> Verdict {
        is(self.current() == Some(hop), "back to a callee that was left")?;
        is(!self.rounds[usize::from(hop)].ended || self.blurred, "a level behind the end of the search")?;
        let invited = |leg: &&Leg| leg.invited_ms.is_some();
        let through = self.of(hop).filter(invited).all(|leg| leg.is_through(now_ms));
        is(through || self.blurred, "a level before the one above has failed")
    }

    /// The server cancels a callee.
    pub fn cancel(&mut self, place: u8, now_ms: u64) -> Verdict {
        self.note_silence(now_ms);
        let number = self.leg(place).ok_or("a CANCEL to a location that there is not")?;
        if self.legs[number].cancelled_ms.is_some() {
            return Ok(());
        }
        let hop = self.legs[number].at.hop;
        let is_current = self.current() == Some(hop);
        let round = &mut self.rounds[usize::from(hop)];
        let leg = &mut self.legs[number];
        leg.cancelled_ms = Some(now_ms);
        if self.over || round.ended || !is_current || self.kept || self.blurred {
            return Ok(());
        }
        let trying = leg.heard_ms.filter(|_| leg.rang_ms.is_none()).map(|ms| ms + round.trying_ms);
        let rang_out = round.rang_ms.is_some_and(|ms| is_now(ms + round.ring_ms, now_ms));
        let never_rang = trying.is_some_and(|due_ms| is_now(due_ms, now_ms));
        if !rang_out && !never_rang {
            // The 504 that explains it follows.
            self.unexplained = true;
            return is(!self.rules.plain, "a CANCEL at a wrong moment");
        }
        if rang_out && never_rang {
            self.blurred = true;
        } else if rang_out {
            round.ended = true;
        } else {
            self.failures += 1;
            leg.failure = Some((self.failures, Failure::NeverRang));
            let at_once = |leg: &Leg| leg.invited_ms.is_some_and(|ms| is_now(ms + SILENCE_MS, now_ms));
            let is_close = self.of(hop).any(|leg| leg.heard_ms.is_none() && at_once(leg));
            self.blurred |= is_close;
        }
        Ok(())
    }

    /// The caller's first final response.
    pub fn final_response(&mut self, status: u16, now_ms: u64) -> Verdict {
        self.note_silence(now_ms);
        let over = std::mem::replace(&mut self.over, true);
        if over || self.gone {
            return Ok(());
        }
        self.unexplained &= !(status == 504 || self.gone);
        if status < 300 {
            let keeps = self.rules.keeps_late;
            let mut answered = self.legs.iter().filter(|leg| leg.is_answered() && (!leg.late || keeps));
            let given = |leg: &&Leg| {
                let is_input = self.input == Some(leg.at.place) && leg.final_status == status;
                !self.rules.plain || is_input && leg.final_ms == now_ms
            };
            let place = answered.find(given).map(|leg| leg.at.place);
            is(place.is_some() || self.blurred, "a 2xx that nobody gave who may win")?;
            self.winner = if self.rules.plain { place } else { None };
            return Ok(());
        }
        let answered = self.legs.iter().any(|leg| leg.is_answered() && !leg.lost);
        // A reliable provisional response without its PRACK, or a session interval too small.
        let of_our_own = answered || status == 504 || status == 422 && self.current().is_none();
        if !self.is_known() || !self.rules.plain && of_our_own {
            self.uncounted = true;
            return Ok(());
        }
        let courses = self.courses(now_ms);
        is(!courses.is_empty(), "a final response while somebody is to be tried")?;
        let is_right = |course: &&Course| course.goal == Goal::Refuse(status);
        let right = *courses.iter().find(is_right).ok_or("not the final response that counts")?;
        self.uncounted |= courses.iter().filter(is_right).any(|course| *course != right);
        (self.path, self.refused) = (right.path, (right.is_refused, right.is_loop));
        Ok(())
    }

    pub fn acknowledge(&mut self, place: u8) {
        if let Some(number) = self.leg(place) {
            self.legs[number].acknowledged = true;
        }
    }

    pub fn hang_up(&mut self, place: u8) {
        if let Some(number) = self.leg(place) {
            self.legs[number].byed = true;
        }
    }

    /// What a number's failure may lead to now; nothing: it has not failed yet.
    fn outcomes(&self, hop: u8, now_ms: u64) -> Vec<Course> {
        let round = &self.rounds[usize::from(hop)];
        if let Some(target) = round.deflected {
            return vec![self.divert(hop, (Kind::Deflection, target), now_ms)];
        }
        let mut outcomes = Vec::new();
        if round.rang_ms.is_some_and(|ms| is_now(ms + round.ring_ms, now_ms)) {
            outcomes.push(self.follows(hop, (Some(Kind::NoAnswer), 480), now_ms));
        }
        let over = self
            .of(hop)
            .all(|leg| leg.is_through(now_ms) || !leg.is_left(now_ms) && leg.invited_ms.is_none());
        let failures = || self.of(hop).filter_map(|leg| leg.failure_by(now_ms));
        let best = failures().min_by_key(|&(when, failure)| (preference(failure), when));
        match best {
            Some((_, best)) if over || preference(best) == 0 => {
                outcomes.push(self.follows(hop, meaning(best, self.rules.unreachable_408), now_ms));
            }
            _ => {}
        }
        outcomes
    }

    /// Where a call goes from a number that failed so: to what it has set, or back with this status.
    fn follows(&self, hop: u8, (kind, status): (Option<Kind>, u16), now_ms: u64) -> Course {
        let plan = &self.chain.plans[usize::from(hop)];
        match kind.and_then(|kind| Some((kind, plan.target(kind)?))) {
            Some(diversion) => self.divert(hop, diversion, now_ms),
            None => Course::fails(status, self.path),
        }
    }

    fn divert(&self, hop: u8, diversion: (Kind, Target), now_ms: u64) -> Course {
        let is_there = |hop| self.next_level(hop, u16::MAX, now_ms).is_some();
        self.chain.divert(hop, diversion, self.path, &is_there)
    }

    /// The server has said all that it has to say to what came last.
    pub fn settled(&mut self, now_ms: u64) -> Verdict {
        let input = self.input.take();
        let Some(current) = self.current() else { return Ok(()) };
        if self.blurred {
            return Ok(());
        }
        is(!self.unexplained, "a CANCEL at a wrong moment")?;
        for leg in &self.legs {
            let round = &self.rounds[usize::from(leg.at.hop)];
            let ended = self.over || round.ended || leg.at.hop < current;
            is(!ended || !leg.rings(), "a location was left ringing")?;
            if leg.is_answered() && leg.final_ms == now_ms && Some(leg.at.place) == input {
                let dropped = leg.acknowledged && leg.byed || !self.is_known() || !leg.is_remembered(now_ms);
                is(!leg.lost || dropped, "a late answer without ACK and BYE")?;
                let wins = leg.late || self.winner.is_some() || self.gone || !self.rules.plain;
                is(wins || !self.is_known(), "an answer that did not win")?;
            }
        }
        let round = &self.rounds[usize::from(current)];
        if self.over || round.ended || !self.is_known() {
            return Ok(());
        }
        let left_out = |leg: &Leg| round.level.is_some_and(|(q, ms)| leg.is_left(ms) && leg.at.q >= q);
        is(!self.of(current).any(left_out), "a location of the level was left out")?;
        let overdue = round.rang_ms.is_some_and(|ms| now_ms > ms + round.ring_ms + TICK_MS);
        is(!overdue, "the no-answer timer did not run out")?;
        // The server's timers may be a tick late.
        let soon_ms = now_ms.saturating_sub(TICK_MS);
        let through = |leg: &Leg| leg.is_through(soon_ms) || leg.invited_ms.is_none();
        is(!self.of(current).all(through), "nobody is tried and nothing follows")
    }

    /// Whether what follows can be told for certain.
    fn is_known(&self) -> bool {
        self.rules.has_room && !self.blurred
    }

    /// Who has said nothing for 64·T1 has come to nothing.
    fn note_silence(&mut self, now_ms: u64) {
        for leg in &mut self.legs {
            let due_ms = leg.invited_ms.map_or(u64::MAX, |ms| ms + SILENCE_MS);
            if leg.heard_ms.is_none() && leg.failure.is_none() && now_ms >= due_ms {
                // Within a tick the server may not have noticed.
                self.blurred |= is_now(due_ms, now_ms) && self.input.is_some();
                if now_ms > due_ms + TICK_MS {
                    self.failures += 1;
                    leg.failure = Some((self.failures, Failure::Silent));
                }
            }
        }
    }
}

impl Leg {
    /// It can still be tried. A binding's time ends with a whole second.
    fn is_left(&self, now_ms: u64) -> bool {
        self.invited_ms.is_none() && now_ms / 1_000 * 1_000 < self.at.expires_ms
    }

    fn is_answered(&self) -> bool {
        (200..300).contains(&self.final_status)
    }

    fn is_silent(&self, now_ms: u64) -> bool {
        self.heard_ms.is_none() && self.invited_ms.is_some_and(|ms| now_ms >= ms + SILENCE_MS)
    }

    /// It was tried and came to nothing.
    fn is_through(&self, now_ms: u64) -> bool {
        self.failure.is_some() || self.is_silent(now_ms)
    }

    /// What it came to, and as which; who says nothing comes to nothing after a fixed time.
    fn failure_by(&self, now_ms: u64) -> Option<(u32, Failure)> {
        self.failure.or(self.is_silent(now_ms).then_some((u32::MAX, Failure::Silent)))
    }

    /// 64·T1 have surely not gone by without a word, nor since the CANCEL.
    fn is_remembered(&self, now_ms: u64) -> bool {
        let in_time = |ms: u64| self.invited_ms.is_some_and(|invited_ms| ms < invited_ms + NEARLY_SILENCE_MS);
        let late = self.cancelled_ms.is_some_and(|ms| now_ms >= ms + NEARLY_SILENCE_MS);
        self.heard_ms.is_some_and(in_time) && !late
    }

    /// They surely have.
    fn is_forgotten(&self, now_ms: u64) -> bool {
        let gone = |since_ms: u64, ms: u64| ms > since_ms + SILENCE_MS + TICK_MS;
        let silent = |heard_ms| self.invited_ms.is_none_or(|ms| gone(ms, heard_ms));
        self.heard_ms.is_none_or(silent) || self.cancelled_ms.is_some_and(|ms| gone(ms, now_ms))
    }

    /// It is there, has no final response and no CANCEL.
    fn rings(&self) -> bool {
        let in_time = |ms: u64| self.invited_ms.is_some_and(|invited_ms| ms < invited_ms + NEARLY_SILENCE_MS);
        self.heard_ms.is_some_and(in_time) && self.final_status == 0 && self.cancelled_ms.is_none()
    }
}

fn is_now(due_ms: u64, now_ms: u64) -> bool {
    (due_ms..=due_ms + TICK_MS).contains(&now_ms)
}

/// Which of several failures counts: the lowest, and the first of equals.
fn preference(failure: Failure) -> u8 {
    match failure {
        Failure::Response { status: 600.., .. } => 0,
        Failure::Response { status: 300..400, .. } => 1,
        Failure::Response { status: 401 | 407 | 415 | 420 | 484, .. } => 2,
        Failure::Response { status: 486, .. } => 3,
        Failure::Response { status: 408, rang: true, .. } => 4,
        Failure::Response { status: 480, no_answer_cause: true, .. } => 4,
        Failure::Response { status: 408, .. } | Failure::Silent | Failure::NeverRang => 6,
        Failure::Response { status: 400..500, .. } => 5,
        Failure::Response { status: 503, .. } => 8,
        Failure::Response { .. } => 7,
    }
}

/// The condition that a failure stands for (SIP_RULES 1), and the status that it has for the caller.
fn meaning(failure: Failure, unreachable_408: bool) -> (Option<Kind>, u16) {
    let (status, rang, no_answer_cause) = match failure {
        Failure::Silent => return (Some(Kind::NotReachable), 408),
        Failure::NeverRang => return (Some(Kind::NotReachable), 480),
        Failure::Response { status, rang, no_answer_cause } => (status, rang, no_answer_cause),
    };
    let kind = match status {
        408 if rang || !unreachable_408 => Some(Kind::NoAnswer),
        480 if no_answer_cause => Some(Kind::NoAnswer),
        480 if !rang => Some(Kind::NotRegistered),
        404 => Some(Kind::NotRegistered),
        486 | 600 => Some(Kind::Busy),
        408 => Some(Kind::NotReachable),
        500 | 503 | 504 if !rang => Some(Kind::NotReachable),
        _ => None,
    };
    // The interval that a leg's 422 speaks of was the server's; a 503 would make the caller avoid it.
    (kind, if matches!(status, 422 | 503) { 500 } else { status })
}

#[cfg(test)]
mod tests;
