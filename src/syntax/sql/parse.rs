//! Owns the parser's cursor and its entry. Invariant: the parser moves forward over one list of tokens and keeps no other state, so trying
//! something else is setting one number back.

use crate::base::name::nearest;
use crate::syntax::sql::ast::Query;
use crate::syntax::sql::error::{Fault, SqlError, unsupported};
use crate::syntax::sql::lex;
use crate::syntax::sql::parts::{Name, Span};
use crate::syntax::sql::token::{Kind, Token};

/// Expressions and queries may stand inside each other this deep: what the stack of a thread holds with room to spare.
const DEPTH: usize = 60;

/// Operators and set operations may follow each other this often, for each one goes a level deeper.
const LENGTH: usize = 500;

/// Statements that are no query, by their first word.
const STATEMENTS: &[&str] = &[
    "ALTER", "ANALYZE", "ASSERT", "BEGIN", "CALL", "COMMIT", "CREATE", "DECLARE", "DELETE", "DROP", "EXECUTE", "EXPLAIN", "EXPORT", "FOR",
    "GRANT", "IF", "INSERT", "LOAD", "LOOP", "MERGE", "RAISE", "RENAME", "REPEAT", "REVOKE", "ROLLBACK", "SET", "TRUNCATE", "UPDATE",
    "WHILE",
];

pub(super) struct Parser<'a> {
    pub(super) text: &'a str,
    tokens: &'a [Token],
    pub(super) at: usize,
    depth: usize,
}

/// The one query that the text is.
pub(super) fn parse(text: &str, tokens: &[Token]) -> Result<Query, SqlError> {
    let mut parser = Parser { text, tokens, at: 0, depth: 0 };
    parser.refuse_statement()?;
    let query = parser.query()?;
    if !matches!(parser.token().kind, Kind::End | Kind::Symbol(";")) {
        if parser.is_symbol("|>") {
            return Err(unsupported("the pipe syntax '|>'", Some("write the steps as WITH queries")).at(parser.span()));
        }
        return Err(parser.expected("the end of the query"));
    }
    while parser.symbol(";") {}
    if parser.token().kind == Kind::End { Ok(query) } else { Err(Fault::Several.at(parser.span())) }
}

impl Parser<'_> {
    fn refuse_statement(&self) -> Result<(), SqlError> {
        let Kind::Word(word) = &self.token().kind else { return Ok(()) };
        let word = word.to_ascii_uppercase();
        if STATEMENTS.contains(&word.as_str()) {
            return Err(Fault::Statement { statement: word }.at(self.span()));
        }
        if word == "FROM" {
            return Err(unsupported("a query that starts with FROM", Some("start with SELECT")).at(self.span()));
        }
        Ok(())
    }

    pub(super) fn token(&self) -> &Token {
        self.ahead(0)
    }

    pub(super) fn ahead(&self, by: usize) -> &Token {
        &self.tokens[(self.at + by).min(self.tokens.len() - 1)]
    }

    /// The bytes of the next token.
    pub(super) fn span(&self) -> Span {
        self.token().span.clone()
    }

    /// The bytes from `start` to the end of the last token taken.
    pub(super) fn since(&self, start: usize) -> Span {
        let end = self.tokens[..self.at].last().map_or(start, |t| t.span.end);
        start..end.max(start)
    }

    pub(super) fn next(&mut self) -> Token {
        let token = self.token().clone();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    /// Whether the next token is this keyword.
    pub(super) fn is(&self, word: &str) -> bool {
        self.is_ahead(0, word)
    }

    pub(super) fn is_ahead(&self, by: usize, word: &str) -> bool {
        matches!(&self.ahead(by).kind, Kind::Word(found) if found.eq_ignore_ascii_case(word))
    }

    pub(super) fn is_symbol(&self, symbol: &str) -> bool {
        matches!(self.token().kind, Kind::Symbol(found) if found == symbol)
    }

    /// Whether the next tokens are these keywords, taking them if so.
    pub(super) fn accept(&mut self, words: &[&str]) -> bool {
        let all = words.iter().enumerate().all(|(by, word)| self.is_ahead(by, word));
        if all {
            self.at += words.len();
        }
        all
    }

    pub(super) fn symbol(&mut self, symbol: &str) -> bool {
        let found = self.is_symbol(symbol);
        if found {
            self.at += 1;
        }
        found
    }

    pub(super) fn expect(&mut self, words: &[&str]) -> Result<(), SqlError> {
        for word in words {
            if !self.accept(&[word]) {
                return Err(self.expected(word));
            }
        }
        Ok(())
    }

    pub(super) fn expect_symbol(&mut self, symbol: &str) -> Result<(), SqlError> {
        if self.symbol(symbol) { Ok(()) } else { Err(self.expected(&format!("'{symbol}'"))) }
    }

    pub(super) fn expected(&self, wanted: &str) -> SqlError {
        let found = self.token().describe(self.text);
        Fault::Syntax { wanted: wanted.to_owned(), found }.at(self.span())
    }

    /// A name, where one stands next: quoted, or a word that is not reserved.
    pub(super) fn maybe_name(&mut self) -> Option<Name> {
        let text = match &self.token().kind {
            Kind::Quoted(name) => name.clone(),
            Kind::Word(word) if !lex::is_reserved(word) => word.clone(),
            _ => return None,
        };
        let span = self.next().span;
        Some(Name { text, span })
    }

    pub(super) fn name(&mut self, what: &str) -> Result<Name, SqlError> {
        self.maybe_name().ok_or_else(|| self.expected(what))
    }

    /// A name after a dot, where even reserved words are names.
    pub(super) fn field_name(&mut self) -> Result<Name, SqlError> {
        match self.token().kind.clone() {
            Kind::Quoted(text) | Kind::Word(text) => Ok(Name { text, span: self.next().span }),
            _ => Err(self.expected("a field's name")),
        }
    }

    /// `AS name`, or a name alone.
    pub(super) fn alias(&mut self) -> Result<Option<Name>, SqlError> {
        if self.accept(&["AS"]) {
            return self.name("a name after AS").map(Some);
        }
        let opens = matches!(self.ahead(1).kind, Kind::Symbol("(")); // `PIVOT (…)` names nothing.
        Ok(if opens { None } else { self.maybe_name() })
    }

    /// One or more, with commas between.
    pub(super) fn list<T>(&mut self, mut one: impl FnMut(&mut Self) -> Result<T, SqlError>) -> Result<Vec<T>, SqlError> {
        let mut all = vec![one(self)?];
        while self.symbol(",") {
            all.push(one(self)?);
        }
        Ok(all)
    }

    /// Runs `inner` one level deeper.
    pub(super) fn deeper<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T, SqlError>) -> Result<T, SqlError> {
        if self.depth >= DEPTH {
            return Err(unsupported(format!("a query nested {DEPTH} deep"), None).at(self.span()));
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    /// Refuses a chain of operators so long that walking its tree could overflow the stack.
    pub(super) fn chained(&self, links: &mut usize) -> Result<(), SqlError> {
        *links += 1;
        if *links > LENGTH {
            return Err(
                unsupported(format!("a chain of more than {LENGTH} operators"), Some("use IN (…), or WITH queries")).at(self.span())
            );
        }
        Ok(())
    }

    /// The word of `words` that comes next, taking it.
    pub(super) fn one_of(&mut self, words: &[&'static str]) -> Option<&'static str> {
        words.iter().copied().find(|word| self.accept(&[word]))
    }
}

/// The known name closest to `name`.
pub(super) fn closest<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Option<String> {
    nearest(name, known).map(str::to_owned)
}
