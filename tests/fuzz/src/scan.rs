//! Any datagram: the scanner and the naive one agree, and what stands behind the datagram is not read.

use crate::agreement::{assert_agreement, told, told_before};
use ringway::limits::SCAN_PADDING;
use ringway::sip::Index;

pub fn run(data: &[u8]) {
    assert_agreement(data);
    let behind = *b"\r\n \r\n\r\n:;\"<>,Via: SIP/2.0/UDP x;branch=y\r\n z tag=1;a=b,c\"d\\e\r\n\r\n  ";
    let behind = &behind[..SCAN_PADDING.min(behind.len())];
    let padded = told(data, &mut Index::new());
    assert_eq!(told_before(data, behind, &mut Index::new()), padded);
}
