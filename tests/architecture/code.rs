//! Owns the reading of Rust source for the architecture test. Invariant: comments and literals never count as code.

use std::ops::Range;

/// The code of a source text: comments, strings and characters become blanks, lines stay where they were.
pub fn without_comments_and_literals(source: &str) -> String {
    let bytes = source.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'/' if bytes[at..].starts_with(b"//") => find(bytes, at, b"\n"),
            b'/' if bytes[at..].starts_with(b"/*") => block_comment(bytes, at),
            b'"' => string(bytes, at),
            b'r' if !word_before(bytes, at) => raw_string(bytes, at),
            b'\'' => character(bytes, at),
            _ => at,
        };
        if end == at {
            at += 1;
            continue;
        }
        code[at..end].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
        at = end;
    }
    String::from_utf8_lossy(&code).into_owned()
}

/// The code outside `#[cfg(test)] mod … { … }`.
pub fn without_tests(code: &str) -> String {
    let mut kept = code.to_owned();
    while let Some(start) = kept.find("#[cfg(test)]") {
        let Some(open) = kept[start..].find(['{', ';']).map(|at| start + at) else { break };
        let end = if kept.as_bytes()[open] == b';' { open + 1 } else { closing(&kept, open) };
        let blank: String = kept[start..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        kept.replace_range(start..end, &blank);
    }
    kept
}

/// Every path that code names, `use` trees flattened, with the line it stands on: `crate::base::name::nearest`.
pub fn paths(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut covered: Range<usize> = 0..0;
    for (start, _) in code.match_indices("::") {
        if covered.contains(&start) {
            continue;
        }
        let begin = code[..start].rfind(|c: char| !is_word(c)).map_or(0, |at| at + 1);
        let end = flatten(code, begin, "", &mut found);
        covered = start..end;
    }
    found
}

/// Reads one path or `use` tree at `at`, adds what it names under `prefix`, and gives back where it ends.
fn flatten(code: &str, at: usize, prefix: &str, found: &mut Vec<(usize, String)>) -> usize {
    let mut path = prefix.to_owned();
    let mut at = at;
    loop {
        let word = code[at..].chars().take_while(|c| is_word(*c)).map(char::len_utf8).sum::<usize>();
        if word > 0 {
            path.push_str(&code[at..at + word]);
            at += word;
        }
        let rest = &code[at..];
        if !rest.starts_with("::") {
            found.push((line_of(code, at), path));
            return at;
        }
        path.push_str("::");
        at += 2;
        if code[at..].starts_with('{') {
            return flatten_group(code, at, &path, found);
        }
        if !code[at..].starts_with(is_word) {
            found.push((line_of(code, at), path.trim_end_matches(':').to_owned()));
            return at;
        }
    }
}

fn flatten_group(code: &str, open: usize, prefix: &str, found: &mut Vec<(usize, String)>) -> usize {
    let end = closing(code, open);
    let mut at = open + 1;
    while at < end - 1 {
        if code[at..].starts_with(is_word) {
            at = flatten(code, at, prefix, found);
            let next = code[at..end].find(',').map_or(end - 1, |comma| at + comma);
            at = next;
        }
        at += code[at..].chars().next().map_or(1, char::len_utf8);
    }
    end
}

/// The position after the brace that closes the one at `open`.
fn closing(code: &str, open: usize) -> usize {
    let mut depth = 0;
    for (offset, byte) in code.as_bytes()[open..].iter().enumerate() {
        depth += i32::from(*byte == b'{') - i32::from(*byte == b'}');
        if depth == 0 {
            return open + offset + 1;
        }
    }
    code.len()
}

/// Whether `word` stands in the code as a word of its own, and on which line first.
pub fn has_word(code: &str, word: &str) -> Option<usize> {
    let alone = |at: &usize| {
        let before = code[..*at].chars().next_back();
        let after = code[at + word.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    };
    code.match_indices(word).map(|(at, _)| at).find(alone).map(|at| line_of(code, at))
}

fn line_of(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn word_before(bytes: &[u8], at: usize) -> bool {
    at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_') && bytes[at - 1] != b'b'
}

fn find(bytes: &[u8], from: usize, what: &[u8]) -> usize {
    bytes[from..].windows(what.len()).position(|w| w == what).map_or(bytes.len(), |offset| from + offset)
}

fn block_comment(bytes: &[u8], start: usize) -> usize {
    let (mut depth, mut at) = (0, start);
    while at < bytes.len() {
        match &bytes[at..(at + 2).min(bytes.len())] {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    at
}

fn string(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn raw_string(bytes: &[u8], start: usize) -> usize {
    let hashes = bytes[start + 1..].iter().take_while(|byte| **byte == b'#').count();
    if bytes.get(start + 1 + hashes) != Some(&b'"') {
        return start;
    }
    let close: Vec<u8> = std::iter::once(b'"').chain(std::iter::repeat_n(b'#', hashes)).collect();
    (find(bytes, start + 2 + hashes, &close) + close.len()).min(bytes.len())
}

/// A character literal; a lifetime is none.
fn character(bytes: &[u8], start: usize) -> usize {
    let text = String::from_utf8_lossy(&bytes[start + 1..(start + 8).min(bytes.len())]).into_owned();
    let mut chars = text.chars();
    match chars.next() {
        Some('\\') => find(bytes, start + 3, b"'") + 1,
        Some(c) if chars.next() == Some('\'') => start + 2 + c.len_utf8(),
        _ => start,
    }
}

#[test]
fn comments_and_literals_are_not_code() {
    let source = "let a = \"std::fs // \\\" x\"; // unsafe\nlet b = r#\"unsafe \"# ; /* a /* b */ unsafe */ let c: &'static str = x; let d = ('\\'', '\"', 'é');";
    let code = without_comments_and_literals(source);
    assert_eq!(has_word(&code, "unsafe"), None, "{code}");
    assert!(code.contains("&'static str = x"), "{code}");
    assert_eq!(code.lines().count(), source.lines().count());
    assert_eq!(has_word("unsafe_code unsafe", "unsafe"), Some(1));
    assert_eq!(has_word("unsafe_code", "unsafe"), None);
}

#[test]
fn use_trees_are_flattened() {
    let code = "use crate::a::{self, b::{C, d}, e as f};\nfn x() { crate::g::h(); std::fs::read::<u8>() }";
    let all: Vec<String> = paths(code).into_iter().map(|(line, path)| format!("{line} {path}")).collect();
    assert_eq!(all, ["1 crate::a::self", "1 crate::a::b::C", "1 crate::a::b::d", "1 crate::a::e", "2 crate::g::h", "2 std::fs::read"]);
}

#[test]
fn tests_in_a_file_are_cut_out() {
    let code = without_tests("a;\n#[cfg(test)]\nmod tests {\n  fn x() { y }\n}\nb;");
    assert_eq!(code.split_whitespace().collect::<Vec<_>>(), ["a;", "b;"]);
}
