//! Where requests to a binding go: to its own address, back through a NAT, along a Path (RFC 3327), over a
//! flow (RFC 5626).

#[expect(dead_code, reason = "each test file uses its part of the laboratory")]
mod lab;

use lab::Lab;
use lab::peer::{B, D, SERVER};
use lab::phone::Phone;
use ringway::directory::Binding;
use ringway::outbox::ListenerId;
use ringway::settings::Listener;
use std::net::SocketAddr;

const INSTANCE: &str = "+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-AABBCCDDEEFF>\"";

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// B's only binding.
#[track_caller]
fn binding(lab: &Lab) -> Binding {
    let [binding] = &lab.keeper.bindings("1004")[..] else { panic!("one binding") };
    binding.clone()
}

/// Where requests go after B registered `contact` from `source` with `sent_by` in its Via.
#[track_caller]
fn destination(contact: &str, sent_by: &str, source: &str) -> SocketAddr {
    let mut lab = Lab::new();
    let mut phone = Phone::new(&mut lab, B);
    let source = address(source);
    let text = phone.next(&mut lab, contact, &[]).replace("UDP 127.0.0.136:5060", &format!("UDP {sent_by}"));
    lab.send_from(source, &text);
    lab.expect_at(source, "200 REGISTER");
    let destination = binding(&lab).destination.address();
    lab.finish();
    destination
}

#[test]
fn a_phone_without_a_nat_is_reached_at_its_contact() {
    let (sent_by, source) = ("198.51.100.7:5060", "198.51.100.7:5060");
    let own = address("198.51.100.7:5070");
    assert_eq!(destination("<sip:1004@198.51.100.7:5070>", sent_by, source), own);
    let default_port = address("198.51.100.8:5060");
    assert_eq!(destination("<sip:1004@198.51.100.8>", "198.51.100.7", source), default_port);
    // A phone that registers another's contact (third-party registration) is no NAT.
    assert_eq!(destination("<sip:1004@203.0.113.9:5060>", sent_by, source), address("203.0.113.9:5060"));
}

#[test]
fn behind_a_nat_requests_go_back_where_the_register_came_from() {
    let source = "198.51.100.7:40312";
    for (contact, sent_by) in [
        // The address was translated, or the port alone, or the phone does not know its own.
        ("<sip:1004@192.168.1.20:5060>", "192.168.1.20:5060"),
        ("<sip:1004@198.51.100.7:5060>", "198.51.100.7:5060"),
        ("<sip:1004@phone.local>", "phone.local:5060"),
        ("<sip:1004@198.51.100.7:5060>", "phone.local"),
        // What outsiders may have us send to ends with themselves.
        ("<sip:1004@127.0.0.1:9000>", "198.51.100.7:40312"),
        ("<sip:1004@10.0.0.1:5060>", "198.51.100.7:40312"),
        ("<sip:1004@0.0.0.0:5060>", "198.51.100.7:40312"),
        ("<sip:1004@224.0.1.75>", "198.51.100.7:40312"),
        ("<sip:1004@198.51.100.7:0>", "198.51.100.7:40312"),
        ("<sip:1004@[2001:db8::7]>", "198.51.100.7:40312"),
        ("<sip:1004@198.51.100.9;maddr=198.51.100.8>", "198.51.100.7:40312"),
    ] {
        assert_eq!(destination(contact, sent_by, source), address(source), "{contact} by {sent_by}");
    }
}

#[test]
fn a_binding_remembers_the_listener_it_came_in_by() {
    let mut lab = Lab::with(|setup| {
        let second =
            Listener { address: address("[2001:db8::60]:5060"), sent_by: "[2001:db8::60]:5060".into() };
        setup.settings.listeners.push(second);
    });
    let mut phone = Phone::new(&mut lab, B);
    let source = address("[2001:db8::7]:5060");
    let text = phone.next(&mut lab, "<sip:1004@[2001:db8::7]>", &[]);
    let text = text.replace("UDP 127.0.0.136:5060", "UDP [2001:db8:0::7]");
    lab.send_from(source, &text);
    let answer = lab.expect_at(source, "200 REGISTER");
    assert_eq!(answer.one("Contact"), "<sip:1004@[2001:db8::7]>;expires=3600");
    let binding = binding(&lab);
    assert_eq!((binding.destination.address(), binding.listener), (source, ListenerId(1)));
    lab.finish();
}

/// A REGISTER of B's that comes by way of the proxy D.
#[track_caller]
fn by_proxy(lab: &mut Lab, (contact, lines): (&str, &[&str]), status: u16) -> lab::sip::Sip {
    let mut phone = Phone::new(lab, B);
    phone.next(lab, contact, lines);
    phone.register.via = format!(
        "SIP/2.0/UDP {};branch=z9hG4bKp{}, SIP/2.0/UDP 192.168.1.20;branch=z9hG4bKb",
        D.address,
        lab.serial()
    );
    lab.send(D, &phone.register.text());
    lab.expect(D, &format!("{status} REGISTER"))
}

#[test]
fn a_path_is_kept_and_leads_to_its_first_hop() {
    let mut lab = Lab::new();
    let lines = [
        "Supported: Path, outbound",
        "Path: <sip:x@127.0.0.139:5066;lr>, \"P\" <sip:127.0.0.141;lr>",
        "Path: <sip:p3.example.net;lr>;x=1",
    ];
    let answer = by_proxy(&mut lab, ("<sip:1004@192.168.1.20>", &lines), 200);
    // RFC 3327 §5.3: what was given comes back.
    let path = ["<sip:x@127.0.0.139:5066;lr>, \"P\" <sip:127.0.0.141;lr>", "<sip:p3.example.net;lr>;x=1"];
    assert_eq!(answer.all("Path"), path);
    assert!(!answer.has("Require"));
    let binding = binding(&lab);
    assert_eq!(binding.destination.address(), address("127.0.0.139:5066"));
    assert_eq!(&*binding.extras.expect("a Path").path, path.join(", "));
    lab.finish();
}

#[test]
fn who_does_not_support_path_is_not_told_of_it() {
    let mut lab = Lab::new();
    let answer = by_proxy(&mut lab, ("<sip:1004@192.168.1.20>", &["Path: <sip:127.0.0.139;lr>"]), 200);
    assert!(!answer.has("Path"));
    assert_eq!(binding(&lab).destination.address(), D.address);
    lab.finish();
}

#[test]
fn a_proxy_without_a_path_does_not_hide_the_phone() {
    let mut lab = Lab::new();
    by_proxy(&mut lab, ("<sip:1004@127.0.0.136:5062>", &[]), 200);
    assert_eq!(binding(&lab).destination.address(), address("127.0.0.136:5062"));
    lab.finish();
}

#[test]
fn a_path_that_cannot_be_followed_is_refused() {
    let long = format!("Path: <sip:127.0.0.139;lr;x={}>", "a".repeat(1_024));
    for (path, reason) in [
        ("Path: <sip:proxy.example.net;lr>", "Path Host Not An IP Address"),
        ("Path: <sip:127.0.0.139;lr;transport=tcp>", "Path Transport Not UDP"),
        ("Path: <sips:127.0.0.139;lr>", "Path Transport Not UDP"),
        ("Path: <sip:0.0.0.0;lr>", "Path Cannot Be Reached"),
        ("Path: <sip:127.0.0.139;lr", "Malformed Path"),
        ("Path: <tel:1>", "Path Transport Not UDP"),
        ("Path: <sip:127.0.0.139>", "Path Without lr"),
        (&long, "Path Too Long"),
    ] {
        let mut lab = Lab::new();
        let refusal = by_proxy(&mut lab, ("<sip:1004@192.168.1.20>", &[path]), 400);
        assert_eq!(refusal.reason, reason, "{path}");
        lab.finish();
    }
    let mut lab = Lab::new();
    let ours = format!("Path: <sip:{SERVER};lr>");
    by_proxy(&mut lab, ("<sip:1004@192.168.1.20>", &[&ours]), 403);
    lab.finish();
}

#[test]
fn a_flow_is_kept_and_the_phone_told_so() {
    let mut lab = Lab::new();
    let mut phone = Phone::new(&mut lab, B);
    let contact = format!("<sip:1004@127.0.0.136:5070;ob>;{INSTANCE};reg-id=1");
    let answer = phone.gets(&mut lab, (&contact, &["Supported: outbound, path"]), 200);
    assert_eq!(answer.one("Require"), "outbound");
    let listed = format!("<sip:1004@127.0.0.136:5070;ob>;expires=3600;{INSTANCE};reg-id=1");
    assert_eq!(answer.list("Contact"), [listed]);
    // Over the flow, not to the Contact's own port.
    assert_eq!(binding(&lab).destination.address(), B.address);
    // Without the option tag the flow is one all the same.
    phone.register.cseq += 1;
    let answer = phone.gets(&mut lab, (&contact, &[]), 200);
    assert!(!answer.has("Require"));
    assert_eq!(lab.keeper.bindings("1004").len(), 1);
    lab.finish();
}

#[test]
fn a_phone_that_comes_back_from_elsewhere_replaces_its_flow() {
    let mut lab = Lab::new();
    let mut phone = Phone::new(&mut lab, B);
    phone.registers(&mut lab, &format!("<sip:1004@127.0.0.136>;{INSTANCE};reg-id=1"));
    let mut restarted = Phone::new(&mut lab, D);
    restarted.register.to = phone.register.to.clone();
    let answer = restarted.registers(&mut lab, &format!("<sip:1004@127.0.0.139>;{INSTANCE};reg-id=1"));
    assert_eq!(answer.list("Contact"), [format!("<sip:1004@127.0.0.139>;expires=3600;{INSTANCE};reg-id=1")]);
    assert_eq!(binding(&lab).destination.address(), D.address);
    lab.finish();
}

#[test]
fn two_flows_of_an_instance_are_two_bindings_with_one_uri() {
    let mut lab = Lab::new();
    let mut phone = Phone::new(&mut lab, B);
    let flow = |number: u32| format!("<sip:1004@127.0.0.136>;{INSTANCE};reg-id={number}");
    phone.registers(&mut lab, &flow(1));
    assert_eq!(phone.registers(&mut lab, &flow(2)).list("Contact").len(), 2);
    phone.registers(&mut lab, &format!("{};expires=0", flow(1)));
    assert_eq!(phone.fetches(&mut lab), [format!("<sip:1004@127.0.0.136>;expires=3600;{INSTANCE};reg-id=2")]);
    lab.finish();
}

#[test]
fn an_instance_without_a_flow_replaces_its_own_binding() {
    let mut lab = Lab::new();
    let mut phone = Phone::new(&mut lab, B);
    phone.registers(&mut lab, &format!("<sip:1004@127.0.0.136:5060>;{INSTANCE}"));
    let answer = phone.registers(&mut lab, &format!("<sip:1004@127.0.0.136:5072>;{INSTANCE}"));
    assert_eq!(answer.list("Contact"), [format!("<sip:1004@127.0.0.136:5072>;expires=3600;{INSTANCE}")]);
    // A flow without an instance is none.
    let answer = phone.registers(&mut lab, "<sip:1004@127.0.0.136:5074>;reg-id=3");
    assert_eq!(answer.list("Contact")[1], "<sip:1004@127.0.0.136:5074>;expires=3600");
    lab.finish();
}

#[test]
fn a_flow_is_registered_alone() {
    let mut lab = Lab::new();
    let mut phone = Phone::new(&mut lab, B);
    let flow = format!("<sip:1004@127.0.0.136>;{INSTANCE};reg-id=1");
    let refusal = phone.gets(&mut lab, (&format!("{flow}, <sip:b@127.0.0.136>"), &[]), 400);
    assert_eq!(refusal.reason, "More Contacts Beside reg-id");
    // What is taken back may stand beside it.
    phone.registers(&mut lab, &format!("{flow}, <sip:b@127.0.0.136>;expires=0"));
    lab.finish();
}

#[test]
fn behind_a_proxy_a_flow_needs_the_proxys_support() {
    let contact = format!("<sip:1004@192.168.1.20>;{INSTANCE};reg-id=1");
    let mut lab = Lab::new();
    for path in ["X-No: path", "Path: <sip:127.0.0.139;lr>"] {
        let refusal = by_proxy(&mut lab, (&contact, &["Supported: outbound", path]), 439);
        assert_eq!(refusal.reason, "First Hop Lacks Outbound Support");
        // Who does not ask for it is bound without its flow.
        by_proxy(&mut lab, (&contact, &[path]), 200);
        assert_eq!(binding(&lab).extras.expect("an instance").reg_id, 0);
    }
    let lines = ["Supported: outbound, path", "Path: <sip:flow1@127.0.0.139;lr;ob>"];
    let answer = by_proxy(&mut lab, (&contact, &lines), 200);
    assert_eq!((answer.one("Require"), answer.one("Path")), ("outbound", "<sip:flow1@127.0.0.139;lr;ob>"));
    lab.finish();
}
