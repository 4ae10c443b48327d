//! Owns the reading of CSV. Invariant: a text is read in one way only, as RFC 4180 has it; where it could mean two things it is refused with its
//! line, and no row is ever left out.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;

/// Bytes of text that one column can hold.
const MOST: usize = i32::MAX as usize;

/// A CSV's columns, all of them texts, and where its rows stand.
#[derive(Debug)]
pub struct Csv {
    /// The rows.
    pub rows: RecordBatch,
    /// The line that each row begins on, the first being 1.
    pub lines: Vec<usize>,
}

/// Why a text is no table, and on which line.
#[derive(Debug, thiserror::Error)]
#[error("{fault}")]
pub struct CsvError {
    /// The line, the first being 1.
    pub line: usize,
    /// What is wrong.
    pub fault: CsvFault,
}

/// What is wrong with a CSV.
#[derive(Debug, thiserror::Error)]
pub enum CsvFault {
    /// There is nothing in it.
    #[error("the file is empty, without even a header")]
    Empty,
    /// More than one column can hold.
    #[error("the file is larger than 2 GiB")]
    Large,
    /// Bytes that are no text.
    #[error("this is not UTF-8")]
    Utf8,
    /// Another separator than the comma.
    #[error("the header is one field with {separator} in it, not fields with commas between them")]
    Separator {
        /// What separates them, as people write it.
        separator: &'static str,
    },
    /// Columns that SQL could not tell apart.
    #[error("the columns '{first}' and '{second}' have one name")]
    Twice {
        /// One.
        first: String,
        /// The other.
        second: String,
    },
    /// A row that is longer or shorter than the header.
    #[error("the row has {found}, the header {wanted}")]
    Fields {
        /// How many fields it has, in words.
        found: String,
        /// How many columns there are.
        wanted: usize,
    },
    /// A field that opens with a quote and never closes.
    #[error("a quote opens here that nothing closes")]
    Unclosed,
    /// Text between a field's closing quote and the next comma.
    #[error("a field goes on after its closing quote")]
    AfterQuote,
    /// The columns cannot be put together.
    #[error(transparent)]
    Rows(#[from] ArrowError),
}

impl CsvError {
    /// The way out.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self.fault {
            CsvFault::Rows(_) => None,
            CsvFault::Empty => Some("the first line of a CSV names its columns"),
            CsvFault::Large => Some("store the table as Parquet"),
            CsvFault::Utf8 => Some("save the file as UTF-8: iconv -f LATIN1 -t UTF-8 OLD > NEW"),
            CsvFault::Separator { .. } => Some("save the file with commas between the fields"),
            CsvFault::Twice { .. } => Some("give each column a name of its own; names that differ only in case are one name in SQL"),
            CsvFault::Fields { .. } => Some("each row has a field for each column; a field that holds a comma stands in double quotes"),
            CsvFault::Unclosed | CsvFault::AfterQuote => Some("a quote inside a quoted field is written twice: \"a \"\"b\"\" c\""),
        }
    }
}

/// Reads a text whose first row names the columns. Lines end with LF, CRLF or CR, also mixed; empty lines are none. Fields are kept as they
/// are, spaces included; names are trimmed, and a column without one is called `column0`, `column1`, … by its position.
///
/// # Errors
/// When the text is not a table of that form.
pub fn read(bytes: &[u8]) -> Result<Csv, CsvError> {
    let text = text(bytes)?;
    let mut reader = Reader { text, at: 0, line: 1 };
    let mut fields = Vec::new();
    let Some(line) = reader.row(&mut fields)? else { return Err(CsvFault::Empty.on(1)) };
    let header = header(&fields).map_err(|fault| fault.on(line))?;
    let mut columns: Vec<StringBuilder> = header.iter().map(|_| StringBuilder::new()).collect();
    let mut lines = Vec::new();
    while let Some(line) = reader.row(&mut fields)? {
        if fields.len() != header.len() {
            let found = if fields.len() == 1 { "1 field".to_owned() } else { format!("{} fields", fields.len()) };
            return Err(CsvFault::Fields { found, wanted: header.len() }.on(line));
        }
        for (column, field) in columns.iter_mut().zip(&fields) {
            column.append_value(field);
        }
        lines.push(line);
    }
    let schema = Schema::new(header.into_iter().map(|name| Field::new(name, DataType::Utf8, true)).collect::<Vec<_>>());
    let columns = columns.iter_mut().map(|column| Arc::<StringArray>::new(column.finish()) as ArrayRef).collect();
    let rows = RecordBatch::try_new(Arc::new(schema), columns).map_err(|error| CsvFault::from(error).on(line))?;
    Ok(Csv { rows, lines })
}

impl CsvFault {
    fn on(self, line: usize) -> CsvError {
        CsvError { line, fault: self }
    }
}

/// The bytes as text, without a byte order mark.
fn text(bytes: &[u8]) -> Result<&str, CsvError> {
    if bytes.len() > MOST {
        return Err(CsvFault::Large.on(1));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
        CsvFault::Utf8.on(1 + line_ends(&before))
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// The names of the columns.
fn header(fields: &[Cow<str>]) -> Result<Vec<String>, CsvFault> {
    if let [only] = fields
        && let Some((_, separator)) = [(';', "';'"), ('\t', "a tab"), ('|', "'|'")].into_iter().find(|(c, _)| only.contains(*c))
    {
        return Err(CsvFault::Separator { separator });
    }
    let name = |(at, field): (usize, &Cow<str>)| match field.trim() {
        "" => format!("column{at}"),
        name => name.to_owned(),
    };
    let names: Vec<String> = fields.iter().enumerate().map(name).collect();
    for (at, second) in names.iter().enumerate() {
        if let Some(first) = names[..at].iter().find(|first| first.to_lowercase() == second.to_lowercase()) {
            return Err(CsvFault::Twice { first: first.clone(), second: second.clone() });
        }
    }
    Ok(names)
}

/// How many lines end in a text.
fn line_ends(text: &str) -> usize {
    let bytes = text.as_bytes();
    let ends = |at: usize| bytes[at] == b'\n' || bytes[at] == b'\r' && bytes.get(at + 1) != Some(&b'\n');
    (0..bytes.len()).filter(|at| ends(*at)).count()
}

/// Goes through a text row by row.
struct Reader<'a> {
    text: &'a str,
    at: usize,
    line: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Passes over the end of a line, if one is here.
    fn end_line(&mut self) -> bool {
        let length = match (self.peek(), self.text.as_bytes().get(self.at + 1)) {
            (Some(b'\r'), Some(b'\n')) => 2,
            (Some(b'\r' | b'\n'), _) => 1,
            _ => return false,
        };
        self.at += length;
        self.line += 1;
        true
    }

    /// Reads the next row into `fields` and tells the line that it begins on; `None` at the end.
    fn row(&mut self, fields: &mut Vec<Cow<'a, str>>) -> Result<Option<usize>, CsvError> {
        fields.clear();
        while self.end_line() {}
        if self.peek().is_none() {
            return Ok(None);
        }
        let line = self.line;
        loop {
            fields.push(if self.peek() == Some(b'"') { self.quoted()? } else { self.plain() });
            match self.peek() {
                Some(b',') => self.at += 1,
                None => return Ok(Some(line)),
                _ if self.end_line() => return Ok(Some(line)),
                _ => return Err(CsvFault::AfterQuote.on(self.line)),
            }
        }
    }

    /// A field up to the next comma or line end. A quote inside it is a character like any other.
    fn plain(&mut self) -> Cow<'a, str> {
        let rest = &self.text[self.at..];
        let field = &rest[..rest.find([',', '\n', '\r']).unwrap_or(rest.len())];
        self.at += field.len();
        Cow::Borrowed(field)
    }

    /// A field between quotes; two quotes in it are one.
    fn quoted(&mut self) -> Result<Cow<'a, str>, CsvError> {
        let opened = self.line;
        let mut field = Cow::Borrowed("");
        loop {
            let rest = &self.text[self.at + 1..];
            let Some(length) = rest.find('"') else { return Err(CsvFault::Unclosed.on(opened)) };
            let part = &rest[..length];
            field = if field.is_empty() { Cow::Borrowed(part) } else { Cow::Owned(field.into_owned() + part) };
            self.line += line_ends(part);
            self.at += length + 2;
            if self.peek() != Some(b'"') {
                return Ok(field);
            }
            field.to_mut().push('"');
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use proptest::prelude::*;

    use super::*;

    fn cells(csv: &Csv) -> Vec<Vec<String>> {
        let row = |at| csv.rows.columns().iter().map(|c| c.as_string::<i32>().value(at).to_owned()).collect();
        (0..csv.rows.num_rows()).map(row).collect()
    }

    fn said(text: &[u8]) -> String {
        let error = read(text).unwrap_err();
        format!("{}: {error}", error.line)
    }

    #[test]
    fn lines_may_end_in_any_way_also_mixed() {
        for text in ["a,b\n1,2\n3,4\n", "a,b\r\n1,2\r\n3,4\r\n", "a,b\r1,2\r3,4", "a,b\r\n1,2\n3,4\r", "\u{feff}a,b\n\r\n\n1,2\n\n3,4\n\n"]
        {
            let csv = read(text.as_bytes()).unwrap();
            assert_eq!(cells(&csv), [["1", "2"], ["3", "4"]], "{text:?}");
        }
        assert_eq!(read(b"a\r\n1\n\n2\r3\r\n").unwrap().lines, [2, 4, 5]);
    }

    #[test]
    fn a_field_is_kept_as_it_is_and_quotes_let_it_hold_anything() {
        let csv = read(b"a,b\n#x, 1 \n\"1\r\n2\",\"a \"\"b\"\", c\"\nNULL,\n\"\",a\"b\n\"\"\"\",x\n").unwrap();
        let rows = [["#x", " 1 "], ["1\r\n2", "a \"b\", c"], ["NULL", ""], ["", "a\"b"], ["\"", "x"]];
        assert_eq!(cells(&csv), rows);
        assert_eq!(csv.lines, [2, 3, 5, 6, 7]);
    }

    #[test]
    fn names_are_trimmed_and_a_missing_one_is_made_up() {
        let csv = read(b", date ,price\n0,2020-01-01,1\n").unwrap();
        let schema = csv.rows.schema();
        assert_eq!(schema.fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>(), ["column0", "date", "price"]);
    }

    #[test]
    fn what_could_mean_two_things_is_refused_with_its_line() {
        for (text, expected) in [
            (&b"\n\n"[..], "1: the file is empty, without even a header"),
            (b"a,b\n1,2\n3\n", "3: the row has 1 field, the header 2"),
            (b"a,b\r\n\"1\n\",2\r\n3,4,5\r\n", "4: the row has 3 fields, the header 2"),
            (b"a,b\n1,2\n3,\"4\n5,6\n", "3: a quote opens here that nothing closes"),
            (b"a,b\n1,\"2\n\"x\n", "3: a field goes on after its closing quote"),
            (b"a,b\r\n1,\xff\n", "2: this is not UTF-8"),
            (b"\xff\xfea\0", "1: this is not UTF-8"),
            (b"a,b,A\n1,2,3\n", "1: the columns 'a' and 'A' have one name"),
            (b"\na;b\n1;2\n", "2: the header is one field with ';' in it, not fields with commas between them"),
            (b"a\tb\n", "1: the header is one field with a tab in it, not fields with commas between them"),
        ] {
            assert_eq!(said(text), expected);
        }
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(rows in prop::collection::vec(prop::collection::vec("[a,\"\r\n# é]{0,4}", 2), 0..6)) {
            let quoted = |field: &String| format!("\"{}\"", field.replace('"', "\"\""));
            let line = |row: &Vec<String>| row.iter().map(quoted).collect::<Vec<_>>().join(",") + "\n";
            let text = format!("x,y\n{}", rows.iter().map(line).collect::<String>());
            prop_assert_eq!(cells(&read(text.as_bytes()).unwrap()), rows);
        }

        #[test]
        fn no_text_makes_it_panic(text in "[a,\"\r\n]{0,12}") {
            let _ = read(text.as_bytes());
        }
    }
}
