//! Owns how literals are read: strings with their prefixes and escapes, names in backticks, numbers. Invariant: a literal that BigQuery
//! would refuse is refused.

use crate::syntax::sql::error::{Fault, SqlError};
use crate::syntax::sql::token::Kind;

/// The string or bytes literal at the start of `rest` and its length; `start` is where `rest` stands in the text.
pub(super) fn string(rest: &str, start: usize) -> Result<Option<(Kind, usize)>, SqlError> {
    let letters = rest.bytes().take(3).take_while(|b| matches!(b.to_ascii_lowercase(), b'r' | b'b')).count();
    let prefix = rest[..letters].to_ascii_lowercase();
    if !matches!(prefix.as_str(), "" | "r" | "b" | "rb" | "br") {
        return Ok(None);
    }
    let body = &rest[letters..];
    let Some(quote) = ["'''", "\"\"\"", "'", "\""].into_iter().find(|quote| body.starts_with(quote)) else { return Ok(None) };
    let refuse = |problem: &str, at: usize| Fault::Literal { problem: problem.to_owned() }.at(start..at.max(start + 1));
    let mut at = quote.len();
    loop {
        let left = &body[at..];
        if left.starts_with(quote) {
            break;
        }
        match left.chars().next() {
            None => return Err(refuse("this string does not end", start + letters + quote.len())),
            Some('\n') if quote.len() == 1 => return Err(refuse("this string does not end on its line", start + letters + at)),
            Some('\\') => at += 1 + left[1..].chars().next().map_or(0, char::len_utf8),
            Some(c) => at += c.len_utf8(),
        }
    }
    let inner = &body[quote.len()..at];
    let length = letters + at + quote.len();
    let bytes = prefix.contains('b');
    let value =
        if prefix.contains('r') { inner.as_bytes().to_vec() } else { unescape(inner, bytes).map_err(|p| refuse(&p, start + length))? };
    let kind =
        if bytes { Kind::Bytes(value) } else { Kind::Text(String::from_utf8(value).map_err(|_| refuse("not UTF-8", start + length))?) };
    Ok(Some((kind, length)))
}

/// The name in backticks at the start of `rest`, and its length with the backticks.
pub(super) fn backticked(rest: &str, start: usize) -> Result<(String, usize), SqlError> {
    let refuse = |problem: &str| Fault::Literal { problem: problem.to_owned() }.at(start..start + 1);
    let end = rest[1..].find(['`', '\n']).filter(|&end| rest.as_bytes()[end + 1] == b'`');
    let end = end.ok_or_else(|| refuse("this name does not end on its line"))?;
    let name = &rest[1..=end];
    if name.is_empty() || name.contains('\\') {
        return Err(refuse("a name in backticks is neither empty nor escaped"));
    }
    Ok((name.to_owned(), end + 2))
}

/// The number at the start of `rest` and its length.
pub(super) fn number(rest: &str, start: usize) -> Result<Option<(Kind, usize)>, SqlError> {
    let bytes = rest.as_bytes();
    let digits = |from: usize| bytes[from.min(bytes.len())..].iter().take_while(|b| b.is_ascii_digit()).count();
    let refuse = |end: usize| Fault::Literal { problem: format!("'{}' is not a number", &rest[..end]) }.at(start..start + end);
    let whole = digits(0);
    let fraction = if bytes.get(whole) == Some(&b'.') { Some(digits(whole + 1)) } else { None };
    if whole == 0 && fraction.is_none_or(|digits| digits == 0) {
        return Ok(None);
    }
    if whole == 1 && bytes[0] == b'0' && matches!(bytes.get(1), Some(b'x' | b'X')) {
        let end = 2 + bytes[2..].iter().take_while(|b| b.is_ascii_hexdigit()).count();
        let value = i64::from_str_radix(&rest[2..end], 16).map_err(|_| refuse(end))?;
        return Ok(Some((Kind::Int(value.to_string()), end)));
    }
    let mut end = whole + fraction.map_or(0, |digits| digits + 1);
    let mut float = fraction.is_some();
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let exponent = digits(end + 1 + sign);
        if exponent > 0 {
            end += 1 + sign + exponent;
            float = true;
        }
    }
    if bytes.get(end).is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_') {
        return Err(refuse(end + 1));
    }
    let written = rest[..end].to_owned();
    Ok(Some((if float { Kind::Float(written) } else { Kind::Int(written) }, end)))
}

fn unescape(text: &str, bytes: bool) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            out.extend(c.encode_utf8(&mut [0; 4]).bytes());
            continue;
        }
        let escape = rest.next().unwrap_or('\\');
        let simple = match escape {
            'a' => 7,
            'b' => 8,
            'f' => 12,
            'n' => b'\n',
            'r' => b'\r',
            't' => b'\t',
            'v' => 11,
            '\\' | '?' | '"' | '\'' | '`' => escape as u8,
            'x' | 'X' | 'u' | 'U' | '0'..='3' => {
                coded(escape, &mut rest, bytes, &mut out)?;
                continue;
            }
            _ => return Err(format!("'\\{escape}' is no escape; write '\\\\{escape}' or put r before the string")),
        };
        out.push(simple);
    }
    Ok(out)
}

/// An escape that gives a character by its number.
fn coded(escape: char, rest: &mut std::str::Chars<'_>, bytes: bool, out: &mut Vec<u8>) -> Result<(), String> {
    let (length, radix) = match escape {
        'x' | 'X' => (2, 16),
        'u' => (4, 16),
        'U' => (8, 16),
        _ => (2, 8),
    };
    let mut code = if radix == 8 { escape.to_string() } else { String::new() };
    code.extend(rest.by_ref().take(length));
    let value = u32::from_str_radix(&code, radix).ok().filter(|_| code.len() == length + usize::from(radix == 8));
    let value = value.ok_or_else(|| format!("'\\{escape}' needs {length} more digits"))?;
    if bytes && matches!(escape, 'u' | 'U') {
        return Err(format!("'\\{escape}' cannot stand in bytes"));
    }
    if let (true, Ok(byte)) = (bytes, u8::try_from(value)) {
        out.push(byte);
        return Ok(());
    }
    let c = char::from_u32(value).ok_or_else(|| format!("'\\{escape}{code}' is no character"))?;
    out.extend(c.encode_utf8(&mut [0; 4]).bytes());
    Ok(())
}
