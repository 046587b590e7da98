//! Which datagrams of a batch may travel as one: same destination and length, each call's own in order. Pure.

use crate::outbox::Outgoing;

/// Datagrams in one train, at most: Linux takes 64 (UDP_MAX_SEGMENTS) in all versions.
pub const SEGMENTS: usize = 64;
/// Bytes in one train, at most: less than an IPv4 datagram may have.
const TRAIN_BYTES: u32 = 60_000;
/// Trains that a datagram is compared with, from the latest back.
const LOOK_BACK: usize = 16;

/// The trains of one batch. They leave in the order in which they were begun, so a datagram never joins a
/// train begun before one that another datagram of its call is in.
pub struct Trains {
    trains: Vec<Train>,
    /// The train of each datagram.
    train_of: Vec<u8>,
    /// The datagrams by train.
    cars: Vec<u8>,
}

struct Train {
    first: Outgoing,
    count: usize,
    /// Where its datagrams begin in `cars`.
    start: usize,
}

impl Trains {
    pub fn new() -> Trains {
        Trains { trains: Vec::new(), train_of: Vec::new(), cars: Vec::new() }
    }

    /// Makes up the trains of `datagrams`, of which there are at most 256.
    pub fn couple(&mut self, datagrams: &[Outgoing], longest: usize) {
        self.trains.clear();
        self.train_of.clear();
        for (car, datagram) in datagrams.iter().enumerate() {
            let train = self.train_for(&datagrams[..car], datagram, longest).unwrap_or_else(|| {
                self.trains.push(Train { first: *datagram, count: 0, start: 0 });
                self.trains.len() - 1
            });
            self.trains[train].count += 1;
            self.train_of.push(train as u8);
        }
        self.line_up();
    }

    /// The latest train that the datagram may join.
    fn train_for(&self, before: &[Outgoing], datagram: &Outgoing, longest: usize) -> Option<usize> {
        // The call's own latest datagram is in most cases the very last.
        let own = before.iter().rposition(|other| other.call == datagram.call);
        let after_own = own.map_or(0, |car| usize::from(self.train_of[car]));
        let first = after_own.max(self.trains.len().saturating_sub(LOOK_BACK));
        let fits = |train: &Train| {
            train.first.length == datagram.length
                && train.first.destination == datagram.destination
                && train.count < longest
                && (train.count as u32 + 1) * datagram.length <= TRAIN_BYTES
        };
        self.trains[first..].iter().rposition(fits).map(|found| first + found)
    }

    fn line_up(&mut self) {
        let mut start = 0;
        for train in &mut self.trains {
            train.start = start;
            start += std::mem::take(&mut train.count);
        }
        self.cars.clear();
        self.cars.resize(self.train_of.len(), 0);
        for (car, train) in self.train_of.iter().enumerate() {
            let train = &mut self.trains[usize::from(*train)];
            self.cars[train.start + train.count] = car as u8;
            train.count += 1;
        }
    }

    pub fn count(&self) -> usize {
        self.trains.len()
    }

    /// Each train: the places of its datagrams in the batch.
    pub fn each(&self) -> impl Iterator<Item = &[u8]> {
        self.trains.iter().map(|train| &self.cars[train.start..][..train.count])
    }

    /// The datagrams of the trains from the `first`th on.
    pub fn from(&self, first: usize, datagrams: &[Outgoing]) -> Vec<Outgoing> {
        self.each().skip(first).flatten().map(|car| datagrams[usize::from(*car)]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slab::Handle;

    /// A datagram of a call; its length tells its kind.
    fn datagram(call: u64, length: u32, port: u16) -> Outgoing {
        let destination = std::net::SocketAddrV4::new([127, 0, 0, 1].into(), port);
        Outgoing { start: 0, length, destination, call: Handle::from_bits(call) }
    }

    fn couple(datagrams: &[Outgoing], longest: usize) -> Vec<Vec<usize>> {
        let mut trains = Trains::new();
        // Twice: what one batch leaves behind must not show in the next.
        trains.couple(datagrams, longest);
        trains.couple(datagrams, longest);
        assert_eq!(trains.from(0, datagrams).len(), datagrams.len(), "nothing is lost");
        trains.each().map(|cars| cars.iter().map(|car| usize::from(*car)).collect()).collect()
    }

    #[test]
    fn calls_that_answer_alike_share_three_trains() {
        let batch: Vec<Outgoing> =
            (1..=4).flat_map(|call| [300, 301, 700].map(|length| datagram(call, length, 1))).collect();
        assert_eq!(couple(&batch, SEGMENTS), [[0, 3, 6, 9], [1, 4, 7, 10], [2, 5, 8, 11]]);
    }

    #[test]
    fn a_call_keeps_its_order_wherever_the_batch_begins() {
        // The batch begins with one call's 200; the next call's 100, 180 and 200 must not be turned round.
        let mut batch = vec![datagram(1, 700, 1)];
        batch.extend((2..20).flat_map(|call| [300, 301, 700].map(|length| datagram(call, length, 1))));
        let trains = couple(&batch, SEGMENTS);
        assert!(trains.len() <= 5, "{trains:?}");
        for call in 2..20 {
            let of_call = |car: &&usize| batch[**car].call == Handle::from_bits(call);
            let lengths: Vec<u32> =
                trains.iter().flatten().filter(of_call).map(|car| batch[*car].length).collect();
            assert_eq!(lengths, [300, 301, 700]);
        }
    }

    #[test]
    fn length_and_destination_keep_datagrams_apart() {
        let batch = [datagram(1, 300, 1), datagram(2, 300, 2), datagram(3, 301, 1)];
        assert_eq!(couple(&batch, SEGMENTS).len(), 3);
    }

    #[test]
    fn a_train_has_its_longest() {
        let batch: Vec<Outgoing> = (0..10).map(|call| datagram(call, 900, 1)).collect();
        let lengths: Vec<usize> = couple(&batch, 4).iter().map(Vec::len).collect();
        assert_eq!(lengths, [4, 4, 2]);
        assert_eq!(couple(&batch, 1).len(), 10);
    }
}
