//! Text with holes of fixed length: a message is a copy of it with the holes filled.

/// A hole's mark in the text, such as `{id}`, and its length.
pub type Mark<'a> = (&'a str, usize);

pub struct Template {
    bytes: Vec<u8>,
    /// Where each begins, and which of the marks it is.
    holes: Vec<(usize, usize)>,
}

impl Template {
    /// Every mark in `text` is a hole.
    pub fn new(text: &str, marks: &[Mark<'_>]) -> Template {
        let mut template = Template { bytes: Vec::new(), holes: Vec::new() };
        let mut rest = text;
        while let Some((at, which)) = next_mark(rest, marks) {
            let (mark, length) = marks[which];
            template.bytes.extend_from_slice(&rest.as_bytes()[..at]);
            template.holes.push((template.bytes.len(), which));
            template.bytes.resize(template.bytes.len() + length, b'0');
            rest = &rest[at + mark.len()..];
        }
        template.bytes.extend_from_slice(rest.as_bytes());
        template
    }

    /// Appends the text to `out`. `fillings` stand in the marks' order and have their lengths.
    #[inline]
    pub fn render(&self, out: &mut Vec<u8>, fillings: &[&[u8]]) {
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        for (hole, which) in &self.holes {
            let filling = fillings[*which];
            out[start + hole..][..filling.len()].copy_from_slice(filling);
        }
    }
}

/// The first mark in `text`: where, and which.
fn next_mark(text: &str, marks: &[Mark<'_>]) -> Option<(usize, usize)> {
    let places = marks.iter().enumerate();
    places.filter_map(|(which, (mark, _))| Some((text.find(mark)?, which))).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_filled_in_any_order_and_as_often_as_they_stand_there() {
        let template = Template::new("<{b}>{a}{a}|{b}{c}", &[("{a}", 2), ("{b}", 1)]);
        let mut out = b"x".to_vec();
        template.render(&mut out, &[b"AA", b"B"]);
        assert_eq!(String::from_utf8_lossy(&out), "x<B>AAAA|B{c}");
    }
}
