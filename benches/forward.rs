//! The decision to forward and the header fields that tell of it, without a shard around them: what a target
//! means, whether the call may go there, the diversion kept, Diversion and History-Info written.

#[expect(dead_code, reason = "each bench uses its part of the phones")]
mod phones;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use phones::{CHAIN, SERVER, directory, invite, settings};
use ringway::clock::UnixSeconds;
use ringway::directory::{Condition, HistoryForm};
use ringway::limits::SCAN_PADDING;
use ringway::service::history::{History, Hop};
use ringway::service::{Divert, Facts, Failure, Reason, condition_of, divert};
use ringway::sip::write::Writer;
use ringway::sip::{Index, Status, scan};
use std::hint::black_box;

fn forward(criterion: &mut Criterion) {
    let settings = settings(SERVER);
    let directory = directory();
    let mut buffer = invite(CHAIN[0].number, 1);
    let length = buffer.len();
    buffer.resize(length + SCAN_PADDING, 0);
    let mut index = Index::new();
    scan(&mut buffer, length, &mut index).expect("an INVITE");
    let invite = index.message(&buffer[..length]);
    let uris = CHAIN.map(|phone| format!("sip:{}@127.0.0.60", phone.number));
    let mut group = criterion.benchmark_group("forward");
    group.throughput(Throughput::Elements(1));
    for hops in [1, 5] {
        let before: Vec<Hop<'_>> = (0..hops - 1).map(|hop| kept(&uris, hop)).collect();
        let numbers: Vec<&[u8]> = CHAIN[..hops].iter().map(|phone| phone.number.as_bytes()).collect();
        let (mut kept_hops, mut out) = (Vec::with_capacity(1_024), Vec::with_capacity(4_096));
        group.bench_function(format!("decision_and_headers/{hops}"), |bencher| {
            bencher.iter(|| {
                kept_hops.clear();
                before.iter().for_each(|hop| hop.push(&mut kept_hops));
                let failure = Failure::Response {
                    status: black_box(Status::REQUEST_TIMEOUT),
                    rang: true,
                    no_answer_cause: false,
                };
                let condition = condition_of(failure, false).expect("no answer");
                let view = directory.read();
                let entry = view.get(numbers[hops - 1]).expect("an entry");
                let target = entry.subscriber.forwarding.target(condition).expect("a target");
                let facts = Facts {
                    caller: b"1003",
                    tried: &numbers,
                    diversions: hops as u32 - 1,
                    diversions_max: 5,
                    now: UnixSeconds(1_700_000_000),
                };
                let decision = divert((&view, &settings.forwarding), target.as_bytes(), &facts);
                assert!(matches!(decision, Divert::Subscriber(_)));
                kept(&uris, hops - 1).push(&mut kept_hops);
                out.clear();
                let history = History {
                    settings: &settings.forwarding,
                    form: HistoryForm::Both,
                    invite: &invite,
                    hops: &kept_hops,
                    to_trusted: false,
                    is_outside: false,
                };
                let told = history.read().expect("a diversion");
                let mut writer = Writer::new(&mut out);
                told.write_above(&mut writer);
                told.write_below(&mut writer);
                out.len()
            });
        });
    }
    group.finish();
}

fn kept(uris: &[String; 6], hop: usize) -> Hop<'_> {
    Hop {
        diverting: uris[hop].as_bytes(),
        target: uris[hop + 1].as_bytes(),
        reason: Reason::Set(Condition::NoAnswer),
        status: 408,
        is_private: false,
    }
}

criterion_group!(benches, forward);
criterion_main!(benches);
