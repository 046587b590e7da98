//! Lists and parameters against the plainest way to read them.

use ringway::sip::name_addr::{param, split_list};

pub fn run(data: &[u8]) {
    let items: Vec<&[u8]> = split_list(data).collect();
    assert_eq!(items, plain_split(data));
    let joined = items.join(&b","[..]);
    assert_eq!(split_list(&joined).collect::<Vec<_>>(), items);
    for name in ["tag", "branch", "x"] {
        check_param(data, name);
    }
}

/// Byte by byte with one bit of state each for quotes and brackets.
fn plain_split(list: &[u8]) -> Vec<&[u8]> {
    let (mut quoted, mut escaped, mut bracketed) = (false, false, false);
    let is_comma = |byte: &u8| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' if !bracketed => quoted = !quoted,
            b'<' if !quoted => bracketed = true,
            b'>' if !quoted => bracketed = false,
            b',' => return !quoted && !bracketed,
            _ => {}
        }
        false
    };
    let blanks = |byte: &u8| matches!(byte, b' ' | b'\t');
    let trim = |item: &'_ [u8]| {
        let start = item.iter().position(|byte| !blanks(byte)).unwrap_or(item.len());
        let end = item.iter().rposition(|byte| !blanks(byte)).map_or(start, |last| last + 1);
        start..end
    };
    list.split(is_comma).map(|item| &item[trim(item)]).filter(|item| !item.is_empty()).collect()
}

/// A value found is found again where it is written with quotes, and behind another parameter.
fn check_param(params: &[u8], name: &str) {
    let found = param(params, name);
    assert_eq!(param(params, &name.to_ascii_uppercase()), found);
    if params.first() == Some(&b';') {
        assert_eq!(param(&[b";other=1", params].concat(), name), found);
        assert_eq!(param(&[b";other=\";tag=2\\\"\"", params].concat(), name), found);
    }
    let Some(value) = found else { return };
    if !value.contains(&b'"') && !value.contains(&b'\\') {
        let written = [b";", name.as_bytes(), b" = \"", value, b"\" ;a"].concat();
        assert_eq!(param(&written, name), Some(value));
    }
}
